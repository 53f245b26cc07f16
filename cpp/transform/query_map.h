// QueryMap: what a search does to its queries first: one transform for all, one or several for each, or
// modulation by tokens.
//
// Rows with the same transform are gathered, mapped in blocks and scattered to where the caller has them, so
// that sixteen transforms in a batch cost what one does. Several transforms of a query stand next to each
// other, so that its rows are searched together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/view.h"
#include "transform/modulation.h"
#include "transform/transform.h"

namespace nearfield {

class QueryMap {
public:
    virtual ~QueryMap() = default;

    /// Rows given for every query.
    virtual std::size_t per_query() const noexcept { return 1; }
    /// Columns given for queries of dim columns. std::invalid_argument where it does not take these.
    virtual std::size_t out_dim(std::size_t dim) const = 0;
    /// queries.rows * per_query() rows. std::invalid_argument as Transform::apply().
    virtual void apply(MatrixView<float> queries, float* out, int threads) const = 0;
};

class OneTransform final : public QueryMap {
public:
    explicit OneTransform(SharedTransform transform) : transform_(std::move(transform)) {}
    std::size_t out_dim(std::size_t dim) const override;
    void apply(MatrixView<float> queries, float* out, int threads) const override;

private:
    SharedTransform transform_;
};

/// Transform ids[i * per_query + j] for query i; -1: the query as it is.
class TransformEach final : public QueryMap {
public:
    /// std::invalid_argument unless ids are from -1 to transforms.size() - 1 and as many as
    /// queries * per_query.
    TransformEach(std::vector<SharedTransform> transforms, std::vector<std::int64_t> ids,
                  std::size_t per_query);
    std::size_t per_query() const noexcept override { return per_query_; }
    std::size_t out_dim(std::size_t dim) const override;
    void apply(MatrixView<float> queries, float* out, int threads) const override;

private:
    struct Group;
    std::vector<Group> groups(std::vector<std::uint32_t>& rows, int threads) const;
    void run(const Group& group, const std::uint32_t* rows, MatrixView<float> queries,
             std::size_t cols, std::vector<float>& memory, float* out) const;

    std::vector<SharedTransform> transforms_;
    std::vector<std::int64_t> ids_;
    std::size_t per_query_;
};

/// Borrows the modulation and the tokens, or dense weights.
class Modulated : public QueryMap {
public:
    Modulated(const Modulation& modulation, const TokenRows& tokens)
        : modulation_(modulation), tokens_(tokens) {}
    Modulated(const Modulation& modulation, MatrixView<float> weights)
        : modulation_(modulation), weights_(weights), dense_(true) {}
    std::size_t out_dim(std::size_t dim) const override;
    void apply(MatrixView<float> queries, float* out, int threads) const override;

private:
    const Modulation& modulation_;
    TokenRows tokens_{};
    MatrixView<float> weights_;
    bool dense_ = false;
};

/// Queries as they are searched.
class MappedQueries {
public:
    /// std::invalid_argument where the map gives rows of another dimension than `dim`.
    MappedQueries(const QueryMap& map, MatrixView<float> queries, std::size_t dim, int threads);
    MatrixView<float> view() const noexcept { return view_; }

private:
    Buffer rows_;
    MatrixView<float> view_;
};

}  // namespace nearfield
