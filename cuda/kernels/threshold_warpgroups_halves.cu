// Scans by thresholds of halves by warpgroups; see threshold_warpgroups.cuh. Source: there.

#include "threshold_warpgroups.cuh"

NEARFIELD_THRESHOLD_WARPGROUPS(threshold_warpgroups_f16, GroupHalves<nearfield::f16>, 2)
NEARFIELD_THRESHOLD_WARPGROUPS(threshold_warpgroups_bf16, GroupHalves<nearfield::bf16>, 2)
