// Scans by thresholds of signed bytes, exact; see threshold_scan.cuh. Source: there.

#include "threshold_scan.cuh"

NEARFIELD_THRESHOLD_SCAN(threshold_scan_i8, SignedMma, 128, 128)
