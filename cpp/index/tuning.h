// Tuning: which search parameters reach which recall, as measured; a table that an index carries.
//
// A setting is what one number of results, one batch size and one level of recall are answered with. The
// table never changes: a new one replaces it. Files hold the settings as they are here, 64 bytes each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/archive.h"

namespace nearfield {

/// Parameters a kind does not have are 0.
struct TunedSetting {
    std::uint32_t k;
    std::uint32_t batch;  // queries of a call
    std::uint32_t nprobe;
    std::uint32_t rerank;
    std::uint32_t ef_search;
    float margin;        // hnsw
    double level;        // the recall it may be chosen for
    double recall;       // the mean that was measured
    double lower;        // its lower confidence bound
    double seconds;      // a query
    std::uint64_t rows;  // of the index when it was measured
};
static_assert(sizeof(TunedSetting) == 64);

class TuningTable {
public:
    static constexpr std::size_t kMaxSettings = 4096;

    /// Sorts by k, batch and level. std::invalid_argument for numbers that make no sense, two settings for
    /// the same, or too many. nlist 0: the index has no lists.
    TuningTable(std::vector<TunedSetting> settings, std::size_t nlist);

    const std::vector<TunedSetting>& settings() const noexcept { return settings_; }

    /// These, and of `old` what was measured for other k.
    std::vector<TunedSetting> merged_with(const TuningTable& old) const;

    /// For the smallest k and level that are large enough and the batch nearest to `queries` by ratio.
    /// std::invalid_argument says what to tune where there is none.
    const TunedSetting& choose(std::size_t k, double recall, std::size_t queries) const;

    /// `this` must outlive the writer's save().
    void add_to(io::ArchiveWriter& writer) const;

private:
    std::vector<TunedSetting> settings_;
};

/// The settings of a file, none where it has no such section; nothing about them is checked yet.
std::vector<TunedSetting> read_tuning(const io::Archive& archive);

}  // namespace nearfield
