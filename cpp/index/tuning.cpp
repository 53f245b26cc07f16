#include "index/tuning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace nearfield {
namespace {

auto order_of(const TunedSetting& s) { return std::tuple(s.k, s.batch, s.level); }

/// A share that does not exceed `most`; false for NaN.
bool is_share(double value, double most) { return value >= 0.0 && value <= most; }

void check(const TunedSetting& s, std::size_t nlist) {
    const auto refuse = [&](const std::string& what) {
        throw std::invalid_argument("tuning: a setting for k = " + std::to_string(s.k) + " has " +
                                    what);
    };
    if (s.k == 0 || s.batch == 0 || s.rows == 0 || s.rows > UINT32_MAX) {
        refuse("counts out of range");
    }
    if (!std::isfinite(s.margin) || s.margin < 0.0f) refuse("a margin that makes no sense");
    const std::size_t fewest = nlist == 0 ? 0 : 1;
    if (s.nprobe < fewest || s.nprobe > nlist) {
        refuse("nprobe " + std::to_string(s.nprobe) + " for " + std::to_string(nlist) + " lists");
    }
    const bool ordered =
        is_share(s.recall, 1.0) && is_share(s.lower, s.recall) && is_share(s.level, s.lower);
    if (!ordered || s.level == 0.0) refuse("a recall that makes no sense");
    if (!std::isfinite(s.seconds) || s.seconds < 0.0) refuse("a time that makes no sense");
}

/// How far apart two numbers of queries are, by ratio.
double distance(std::size_t a, std::size_t b) {
    return std::fabs(std::log(static_cast<double>(a) / static_cast<double>(b)));
}

/// Of the settings for one k, sorted: the first that reaches the recall for the batch nearest to
/// `queries`, or null.
const TunedSetting* reaching(std::span<const TunedSetting> settings, double recall,
                             std::size_t queries) {
    const TunedSetting* best = nullptr;
    for (const TunedSetting& s : settings) {
        if (s.level < recall) continue;
        if (best == nullptr || distance(s.batch, queries) < distance(best->batch, queries)) {
            best = &s;
        }
    }
    return best;
}

std::string printed(double share) {
    std::string text = std::to_string(share);
    return text.substr(0, std::min(text.size(), text.find_last_not_of('0') + 1));
}

}  // namespace

TuningTable::TuningTable(std::vector<TunedSetting> settings, std::size_t nlist)
    : settings_(std::move(settings)) {
    if (settings_.empty() || settings_.size() > kMaxSettings) {
        throw std::invalid_argument("tuning: got " + std::to_string(settings_.size()) +
                                    " settings, expected 1 to " + std::to_string(kMaxSettings));
    }
    for (const TunedSetting& s : settings_) check(s, nlist);
    const auto before = [](const TunedSetting& a, const TunedSetting& b) {
        return order_of(a) < order_of(b);
    };
    std::sort(settings_.begin(), settings_.end(), before);
    const auto same = [](const TunedSetting& a, const TunedSetting& b) {
        return order_of(a) == order_of(b);
    };
    if (std::adjacent_find(settings_.begin(), settings_.end(), same) != settings_.end()) {
        throw std::invalid_argument("tuning: two settings for the same k, batch and recall");
    }
}

std::vector<TunedSetting> TuningTable::merged_with(const TuningTable& old) const {
    std::vector<TunedSetting> all = settings_;
    for (const TunedSetting& s : old.settings_) {
        const auto same_k = [&](const TunedSetting& mine) { return mine.k == s.k; };
        if (std::none_of(settings_.begin(), settings_.end(), same_k)) all.push_back(s);
    }
    return all;
}

const TunedSetting& TuningTable::choose(std::size_t k, double recall, std::size_t queries) const {
    queries = std::max<std::size_t>(queries, 1);
    const auto end = settings_.end();
    auto first =
        std::find_if(settings_.begin(), end, [&](const TunedSetting& s) { return s.k >= k; });
    const bool any = first != end;
    double highest = 0.0;
    while (first != end) {
        const auto last =
            std::find_if(first, end, [&](const TunedSetting& s) { return s.k != first->k; });
        if (const auto* found = reaching({first, last}, recall, queries)) return *found;
        for (; first != last; ++first) highest = std::max(highest, first->level);
    }
    if (!any) {
        throw std::invalid_argument(
            "k: got " + std::to_string(k) + ", the index is tuned for k <= " +
            std::to_string(settings_.back().k) + "; run nf.tune with k=" + std::to_string(k));
    }
    throw std::invalid_argument("recall: got " + printed(recall) +
                                ", tuning reached no more than " + printed(highest) +
                                "; ask for less, run nf.tune with this recall, or set the search "
                                "parameters yourself");
}

void TuningTable::add_to(io::ArchiveWriter& writer) const {
    writer.add(io::SectionType::kTuning, io::ElementType::kBytes, settings_.size(),
               sizeof(TunedSetting), settings_.data());
}

std::vector<TunedSetting> read_tuning(const io::Archive& archive) {
    const io::Section* section = archive.find(io::SectionType::kTuning);
    if (section == nullptr) return {};
    archive.require(io::SectionType::kTuning, io::ElementType::kBytes, section->rows,
                    sizeof(TunedSetting));
    // One more than may be: what is too much is found where the rest is checked.
    const std::size_t n = std::min<std::size_t>(section->rows, TuningTable::kMaxSettings + 1);
    std::vector<TunedSetting> settings(n);
    if (n != 0) std::memcpy(settings.data(), section->data.data(), n * sizeof(TunedSetting));
    return settings;
}

}  // namespace nearfield
