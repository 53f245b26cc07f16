// Scans by thresholds of floats; see threshold_scan.cuh. Source: there.

#include "threshold_scan.cuh"

NEARFIELD_THRESHOLD_SCAN(threshold_scan_f32, Fma, 64, 128)
NEARFIELD_THRESHOLD_SCAN(threshold_scan_f16, MmaF16, 128, 128)
NEARFIELD_THRESHOLD_SCAN(threshold_scan_bf16, MmaBF16, 128, 128)
