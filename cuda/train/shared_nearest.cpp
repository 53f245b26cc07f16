#include "cuda/train/shared_nearest.h"

#include <cstdint>

namespace nearfield::cuda {
namespace {

/// The points that stay.
DeviceRows own_rows(const Points& points) {
    DeviceRows rows = points.rows();
    if (!points.shares().empty()) rows.rows = points.shares().front().first;
    return rows;
}

}  // namespace

/// Another device, its points, and what it works in.
class SharedNearest::Away {
public:
    Away(const StreamRef& home, const RowShare& share, std::size_t k, Metric metric)
        : home_(home),
          share_(share),
          centroid_bytes_(k * share.rows.cols * sizeof(float)),
          search_(share.rows, k, metric, scratch_),
          centroids_(scratch_.take(centroid_bytes_)),
          nearest_(scratch_.take(share.rows.rows * sizeof(Id))),
          labels_(scratch_.take(share.rows.rows * sizeof(std::int64_t))),
          work_(share.stream, scratch_.bytes()) {}
    ~Away() { settle(share_.stream); }
    Away(const Away&) = delete;
    Away& operator=(const Away&) = delete;

    const StreamRef& stream() const noexcept { return share_.stream; }

    void run(CUdeviceptr centroids, CUdeviceptr nearest, CUdeviceptr labels) const {
        const StreamRef& there = share_.stream;
        const CUdeviceptr at = work_.address();
        const std::size_t count = share_.rows.rows, first = share_.first;
        there.wait_for(home_);
        copy_between(there, {*there.device, at + centroids_}, {*home_.device, centroids},
                     centroid_bytes_);
        search_.run(there, at + centroids_, at + nearest_, labels != 0 ? at + labels_ : 0, at);
        send(nearest + first * sizeof(Id), at + nearest_, count * sizeof(Id));
        if (labels == 0) return;
        constexpr std::size_t kLabel = sizeof(std::int64_t);
        send(labels + first * kLabel, at + labels_, count * kLabel);
    }

private:
    void send(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) const {
        const StreamRef& there = share_.stream;
        copy_between(there, {*home_.device, to}, {*there.device, from}, bytes);
    }

    const StreamRef& home_;
    const RowShare& share_;
    std::size_t centroid_bytes_;
    Scratch scratch_;
    DeviceNearest search_;
    std::size_t centroids_, nearest_, labels_;
    DeviceBuffer work_;
};

SharedNearest::SharedNearest(const Points& points, std::size_t k, Metric metric)
    : home_(points.stream()),
      own_(own_rows(points), k, metric, scratch_),
      work_(home_, scratch_.bytes()) {
    for (const RowShare& share : points.shares()) {
        away_.push_back(std::make_unique<Away>(home_, share, k, metric));
    }
}

SharedNearest::~SharedNearest() = default;

void SharedNearest::run(CUdeviceptr centroids, CUdeviceptr nearest, CUdeviceptr labels) const {
    for (const auto& part : away_) part->run(centroids, nearest, labels);
    own_.run(home_, centroids, nearest, labels, work_.address());
    for (const auto& part : away_) home_.wait_for(part->stream());
}

}  // namespace nearfield::cuda
