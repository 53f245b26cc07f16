#include "transform/query_map.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "transform/finite_check.h"
#include "transform/row_blocks.h"

namespace nearfield {

std::size_t OneTransform::out_dim(std::size_t dim) const {
    transform_->check_dim(dim);
    return transform_->out_dim(dim);
}

void OneTransform::apply(MatrixView<float> queries, float* out, int threads) const {
    transform_->apply(queries, out, threads);
}

/// Consecutive entries of the rows sorted by transform that share one; null: rows as they are.
struct TransformEach::Group {
    const Transform* transform;
    std::size_t first;
    std::size_t count;
};

TransformEach::TransformEach(std::vector<SharedTransform> transforms, std::vector<std::int64_t> ids,
                             std::size_t per_query)
    : transforms_(std::move(transforms)), ids_(std::move(ids)), per_query_(per_query) {
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (per_query_ == 0 || per_query_ > kMost || ids_.size() > kMost ||
        ids_.size() % per_query_ != 0) {
        throw std::invalid_argument("transform_ids: got " + std::to_string(ids_.size()) +
                                    " ids, expected " + std::to_string(per_query_) +
                                    " for every query");
    }
    const auto count = static_cast<std::int64_t>(transforms_.size());
    for (const std::int64_t id : ids_) {
        if (id < -1 || id >= count) {
            throw std::invalid_argument("transform_ids: got " + std::to_string(id) +
                                        ", expected -1 (none) to " + std::to_string(count - 1));
        }
    }
}

std::size_t TransformEach::out_dim(std::size_t dim) const {
    std::size_t given = 0;
    const auto agree = [&](std::size_t next) {
        if (given != 0 && given != next) {
            throw std::invalid_argument("transform: some give dim " + std::to_string(given) +
                                        ", others " + std::to_string(next));
        }
        given = next;
    };
    for (const std::int64_t id : ids_) {
        if (id < 0) {
            agree(dim);
            continue;
        }
        const Transform& transform = *transforms_[static_cast<std::size_t>(id)];
        transform.check_dim(dim);
        agree(transform.out_dim(dim));
    }
    return given == 0 ? dim : given;
}

std::vector<TransformEach::Group> TransformEach::groups(std::vector<std::uint32_t>& rows,
                                                        int threads) const {
    // Counting sort: rows of one transform in their order, those without one first.
    std::vector<std::size_t> start(transforms_.size() + 2, 0);
    for (const std::int64_t id : ids_) ++start[static_cast<std::size_t>(id + 2)];
    for (std::size_t t = 1; t < start.size(); ++t) start[t] += start[t - 1];
    rows.resize(ids_.size());
    auto next = start;
    for (std::size_t i = 0; i < ids_.size(); ++i) {
        rows[next[static_cast<std::size_t>(ids_[i] + 1)]++] = static_cast<std::uint32_t>(i);
    }
    std::vector<Group> groups;
    for (std::size_t t = 0; t + 1 < start.size(); ++t) {
        const Transform* const transform = t == 0 ? nullptr : transforms_[t - 1].get();
        const RowBlocks blocks(start[t + 1] - start[t], threads);
        for (std::size_t b = 0; b < blocks.count(); ++b) {
            const auto [first, count] = blocks.block(b);
            groups.push_back({transform, start[t] + first, count});
        }
    }
    return groups;
}

void TransformEach::run(const Group& group, const std::uint32_t* rows, MatrixView<float> queries,
                        std::size_t cols, std::vector<float>& memory, float* out) const {
    if (group.transform == nullptr) {
        for (std::size_t i = 0; i < group.count; ++i) {
            std::copy_n(queries.row(rows[i] / per_query_), cols, out + rows[i] * cols);
        }
        return;
    }
    const std::size_t dim = queries.cols;
    const std::size_t taken = group.count * dim;
    const std::size_t given = group.count * cols;
    const std::size_t own = group.transform->scratch(group.count, dim);
    memory.resize(std::max(memory.size(), taken + given + own));
    float* const x = memory.data();
    for (std::size_t i = 0; i < group.count; ++i) {
        std::copy_n(queries.row(rows[i] / per_query_), dim, x + i * dim);
    }
    group.transform->run(x, group.count, dim, x + taken, x + taken + given);
    for (std::size_t i = 0; i < group.count; ++i) {
        std::copy_n(x + taken + i * cols, cols, out + rows[i] * cols);
    }
}

void TransformEach::apply(MatrixView<float> queries, float* out, int threads) const {
    if (ids_.size() != queries.rows * per_query_) {
        throw std::invalid_argument("transform_ids: got " +
                                    std::to_string(ids_.size() / per_query_) + " rows for " +
                                    std::to_string(queries.rows) + " queries");
    }
    const std::size_t cols = out_dim(queries.cols);
    std::vector<std::uint32_t> rows;
    const std::vector<Group> tasks = groups(rows, threads);
    std::vector<std::vector<float>> memory(static_cast<std::size_t>(max_workers(threads)));
    FiniteCheck check;
    parallel_for(tasks.size(), threads, [&](std::size_t task, int worker) {
        const Group& group = tasks[task];
        const std::uint32_t* const own = rows.data() + group.first;
        run(group, own, queries, cols, memory[static_cast<std::size_t>(worker)], out);
        for (std::size_t i = 0; i < group.count; ++i) {
            const std::size_t query = own[i] / per_query_;
            check.before(queries.row(query), queries.cols, query);
            check.after(out + own[i] * cols, cols, query);
        }
    });
    check.raise();
}

std::size_t Modulated::out_dim(std::size_t dim) const {
    if (dim == modulation_.dim()) return dim;
    throw std::invalid_argument("queries: got dim " + std::to_string(dim) + ", expected " +
                                std::to_string(modulation_.dim()) + ", which the transform takes");
}

void Modulated::apply(MatrixView<float> queries, float* out, int threads) const {
    out_dim(queries.cols);
    if (dense_) {
        modulation_.apply(queries, weights_, out, threads);
    } else {
        modulation_.apply(queries, tokens_, out, threads);
    }
}

MappedQueries::MappedQueries(const QueryMap& map, MatrixView<float> queries, std::size_t dim,
                             int threads) {
    const std::size_t cols = map.out_dim(queries.cols);
    if (cols != dim) {
        throw std::invalid_argument("transform: gives dim " + std::to_string(cols) + ", expected " +
                                    std::to_string(dim) + ", that of the rows searched");
    }
    const std::size_t rows = queries.rows * map.per_query();
    rows_ = Buffer(rows * cols * sizeof(float));
    map.apply(queries, rows_.as<float>(), threads);
    view_ = {rows_.as<float>(), rows, cols};
}

}  // namespace nearfield
