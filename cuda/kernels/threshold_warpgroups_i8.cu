// Scans by thresholds of signed bytes by warpgroups, exact; see threshold_warpgroups.cuh. Source: there.

#include "threshold_warpgroups.cuh"

NEARFIELD_THRESHOLD_WARPGROUPS(threshold_warpgroups_i8, GroupSigned, 1)
