// Scans by thresholds of bytes, exact; see threshold_scan.cuh. Source: there.

#include "threshold_scan.cuh"

NEARFIELD_THRESHOLD_SCAN(threshold_scan_u8, ByteMma, 128, 128)
