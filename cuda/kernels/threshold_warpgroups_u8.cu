// Scans by thresholds of bytes by warpgroups, exact; see threshold_warpgroups.cuh. Source: there.

#include "threshold_warpgroups.cuh"

NEARFIELD_THRESHOLD_WARPGROUPS(threshold_warpgroups_u8, GroupBytes, 1)
