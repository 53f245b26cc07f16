#include "quant/kmeans/kmeans.h"
#include <cstring>
#include "base/parallel.h"
namespace nearfield {
KMeansResult kmeans(MatrixView<float> rows, const KMeansOptions& o, int threads) {
    const std::size_t d = rows.cols, n = rows.rows;
    KMeansResult r; r.centroids.resize(o.k * d);
    for (std::size_t c = 0; c < o.k; ++c) std::memcpy(&r.centroids[c*d], rows.row(c * n / o.k), d*4);
    std::vector<Id> a(n);
    for (int it = 0; it < 4; ++it) {
        assign(rows, {r.centroids.data(), o.k, d}, o.spherical, a.data(), nullptr, threads);
        std::vector<float> s(o.k*d, 0.f); std::vector<int> cnt(o.k, 0);
        for (std::size_t i = 0; i < n; ++i) { ++cnt[a[i]]; for (std::size_t j = 0; j < d; ++j) s[a[i]*d+j] += rows.row(i)[j]; }
        for (std::size_t c = 0; c < o.k; ++c) if (cnt[c]) { float q=0; for (std::size_t j=0;j<d;++j){ s[c*d+j] /= (float)cnt[c]; q += s[c*d+j]*s[c*d+j]; }
            for (std::size_t j=0;j<d;++j) r.centroids[c*d+j] = o.spherical ? s[c*d+j]/__builtin_sqrtf(q) : s[c*d+j]; }
    }
    return r;
}
void assign(MatrixView<float> rows, MatrixView<float> c, bool sph, Id* nearest, float*, int threads) {
    const std::size_t d = rows.cols;
    std::vector<float> t(d * c.rows), nn(c.rows, 0.f);
    for (std::size_t k = 0; k < c.rows; ++k) for (std::size_t j = 0; j < d; ++j) { t[j*c.rows+k] = c.row(k)[j]; nn[k] += c.row(k)[j]*c.row(k)[j]; }
    parallel_for(rows.rows, threads, [&](std::size_t i, int) {
        std::vector<float> s(c.rows);
        for (std::size_t k = 0; k < c.rows; ++k) s[k] = sph ? 0.f : -0.5f*nn[k];
        for (std::size_t j = 0; j < d; ++j) { const float x = rows.row(i)[j]; const float* tj = &t[j*c.rows]; for (std::size_t k = 0; k < c.rows; ++k) s[k] += x*tj[k]; }
        std::size_t b = 0; for (std::size_t k = 1; k < c.rows; ++k) if (s[k] > s[b]) b = k;
        nearest[i] = static_cast<Id>(b);
    });
}
}
