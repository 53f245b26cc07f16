// Index: what every kind of it can do; topk, load, verify.
#include <pybind11/stl.h>

#include <cstring>
#include <limits>

#include "arrays.h"
#include "base/error.h"
#include "bind.h"
#include "corpus_adapters.h"
#include "index/flat/flat_index.h"
#include "index/load.h"
#include "index_stats.h"
#include "io/archive.h"
#include "row_coding.h"
#include "transform/query_map.h"

namespace nearfield::bindings {
namespace {

constexpr double kNoMargin = std::numeric_limits<double>::infinity();

using Shares = std::vector<std::pair<std::string, double>>;
using Triple = std::tuple<py::array, py::array, py::array>;

/// Allocates n x k results, runs the search without the GIL.
template <class Search>
Triple run_top_k(std::size_t n, std::size_t k, Search&& search) {
    const auto rows = static_cast<py::ssize_t>(n);
    const auto cols = static_cast<py::ssize_t>(k);
    auto ids = make_array<std::int64_t>({rows, cols});
    auto scores = make_array<float>({rows, cols});
    auto counts = make_array<std::int64_t>({rows});
    const TopKOut out{ids.mutable_data(), scores.mutable_data(), counts.mutable_data()};
    {
        const py::gil_scoped_release release;
        search(out);
    }
    return {ids, scores, counts};
}

/// pybind11 takes None for a pointer only at a second attempt at all arguments.
const QueryMap* as_map(const py::object& map) {
    return map.is_none() ? nullptr : map.cast<const QueryMap*>();
}

std::size_t rows_per_query(const QueryMap* map) { return map == nullptr ? 1 : map->per_query(); }

/// use(queries), or what the map makes of them for rows of `dim` columns.
template <class Use>
void with_mapped(const QueryMap* map, MatrixView<float> queries, std::size_t dim, int threads,
                 Use&& use) {
    if (map == nullptr) {
        use(queries);
    } else {
        use(MappedQueries(*map, queries, dim, threads).view());
    }
}

SearchOptions options_from(const py::object& mask, int threads, std::size_t nprobe, double margin) {
    SearchOptions options;
    options.mask = as_mask(mask);
    options.threads = threads;
    options.nprobe = nprobe;
    options.margin = margin;
    return options;
}

Triple search(const Index& index, const py::array& q, std::size_t k, const py::object& mask,
              int threads, std::size_t nprobe, std::size_t rerank, double margin, double epsilon,
              std::size_t ef_search, const py::object& transform, const Shares& corpus_adapters) {
    const auto queries = as_queries(q);
    const QueryMap* map = as_map(transform);
    auto options = options_from(mask, threads, nprobe, margin);
    options.rerank = rerank;
    options.epsilon = epsilon;
    options.ef_search = ef_search;
    options.corpus_adapters = shares_from(corpus_adapters);
    return run_top_k(queries.rows * rows_per_query(map), k, [&](const TopKOut& out) {
        with_mapped(map, queries, index.snapshot()->spec.dim, threads,
                    [&](MatrixView<float> mapped) { index.search(mapped, k, options, out); });
    });
}

Triple range_search(const Index& index, const py::array& q, double threshold,
                    const py::object& mask, int threads, std::size_t nprobe, double margin,
                    const py::object& transform, const Shares& corpus_adapters) {
    const auto queries = as_queries(q);
    const QueryMap* map = as_map(transform);
    auto options = options_from(mask, threads, nprobe, margin);
    options.corpus_adapters = shares_from(corpus_adapters);
    std::vector<RangeHits> found;
    {
        const py::gil_scoped_release release;
        with_mapped(map, queries, index.snapshot()->spec.dim, threads,
                    [&](MatrixView<float> mapped) {
                        found = index.range_search(mapped, threshold, options);
                    });
    }
    auto lims = make_array<std::int64_t>({static_cast<py::ssize_t>(found.size() + 1)});
    std::int64_t total = 0;
    lims.mutable_data()[0] = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        total += static_cast<std::int64_t>(found[i].ids.size());
        lims.mutable_data()[i + 1] = total;
    }
    auto ids = make_array<std::int64_t>({total});
    auto scores = make_array<float>({total});
    for (std::size_t i = 0; i < found.size(); ++i) {
        const auto at = lims.data()[i];
        std::copy(found[i].ids.begin(), found[i].ids.end(), ids.mutable_data() + at);
        std::copy(found[i].scores.begin(), found[i].scores.end(), scores.mutable_data() + at);
    }
    return {lims, ids, scores};
}

void add(Index& index, const py::array& rows, const py::object& labels, bool replace, int threads) {
    const RowsView view = as_rows(rows, index.snapshot()->spec.dtype);
    const std::int64_t* names = nullptr;
    if (!labels.is_none()) {
        const auto array = py::reinterpret_borrow<py::array>(labels);
        const auto span = as_labels(array);
        if (span.size() != view.rows) {
            throw py::value_error("ids: got " + std::to_string(span.size()) + " for " +
                                  std::to_string(view.rows) + " rows; expected one id per row");
        }
        names = span.data();
    }
    const py::gil_scoped_release release;
    index.add(view, names, replace, threads);
}

py::array reconstruct(const Index& index, const py::array& labels, const Shares& adapters) {
    const auto names = as_labels(labels);
    auto out = make_array<float>({static_cast<py::ssize_t>(names.size()),
                                  static_cast<py::ssize_t>(index.snapshot()->spec.dim)});
    float* data = out.mutable_data();
    const py::gil_scoped_release release;
    index.reconstruct(names, shares_from(adapters), data);
    return out;
}

py::array contains(const Index& index, const py::array& labels) {
    const auto names = as_labels(labels);
    std::vector<bool> found;
    {
        // A long add holds the lock that this waits for, and needs the GIL to look for signals.
        const py::gil_scoped_release release;
        found = index.contains(names);
    }
    auto out = make_array<bool>({static_cast<py::ssize_t>(found.size())});
    std::copy(found.begin(), found.end(), out.mutable_data());
    return out;
}

py::array labels_of(const Index& index) {
    const auto labels = index.labels();
    auto out = make_array<std::int64_t>({static_cast<py::ssize_t>(labels.size())});
    std::copy(labels.begin(), labels.end(), out.mutable_data());
    return out;
}

/// k, batch, nprobe, rerank, ef_search, margin, level, recall, lower, seconds, rows.
using Setting = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t,
                           std::uint32_t, float, double, double, double, double, std::uint64_t>;

Setting plain(const TunedSetting& s) {
    return {s.k,     s.batch,  s.nprobe, s.rerank,  s.ef_search, s.margin,
            s.level, s.recall, s.lower,  s.seconds, s.rows};
}

std::vector<Setting> tuning_of(const Index& index) {
    std::vector<Setting> out;
    if (const auto table = index.tuning()) {
        for (const TunedSetting& s : table->settings()) out.push_back(plain(s));
    }
    return out;
}

void add_tuning(Index& index, const std::vector<Setting>& settings) {
    std::vector<TunedSetting> table;
    for (const auto& [k, batch, nprobe, rerank, ef, margin, level, recall, lower, seconds, rows] :
         settings) {
        table.push_back(
            {k, batch, nprobe, rerank, ef, margin, level, recall, lower, seconds, rows});
    }
    const py::gil_scoped_release release;
    index.add_tuning(std::move(table));
}

Setting setting_for(const Index& index, std::size_t k, double recall, std::size_t queries) {
    const auto table = index.tuning();
    if (table == nullptr) {
        throw NotTrained(
            "the index is not tuned: run nf.tune(index, queries, recall=..., k=...) "
            "with queries like those to come before a search with recall=");
    }
    return plain(table->choose(k, recall, queries));
}

void train(Index& index, const py::array& rows, int threads) {
    const RowsView view = as_rows(rows, index.snapshot()->spec.dtype);
    const py::gil_scoped_release release;
    index.train(view, threads);
}

Triple topk(const py::array& q, const py::array& corpus, const std::string& dtype, std::size_t k,
            const std::string& metric, const py::object& mask, bool exclude_self, int threads,
            const py::object& transform) {
    const auto queries = as_queries(q);
    const QueryMap* map = as_map(transform);
    const RowsView rows = as_rows(corpus, dtype_from(dtype));
    const Metric kind = metric_from(metric);
    const auto allowed = as_mask(mask);
    return run_top_k(queries.rows * rows_per_query(map), k, [&](const TopKOut& out) {
        with_mapped(map, queries, rows.cols, threads, [&](MatrixView<float> mapped) {
            topk_once(rows, kind, mapped, k, allowed, exclude_self, threads, out);
        });
    });
}

py::dict verify(const std::string& path) {
    std::vector<py::dict> sections;
    py::dict d;
    std::unique_ptr<Index> index;
    {
        const py::gil_scoped_release release;
        index = load_index(path, true, true);
    }
    const io::Archive archive = io::Archive::open(path, true, false);
    for (const io::Section& section : archive.sections()) {
        py::dict s;
        s["name"] = std::string(io::name_of(section.type));
        s["element"] = std::string(io::name_of(section.element));
        s["rows"] = section.rows;
        s["cols"] = section.cols;
        s["offset"] = section.offset;
        s["bytes"] = section.data.size();
        s["crc32c"] = section.crc;
        sections.push_back(s);
    }
    d = stats_of(*index);
    d["sections"] = sections;
    d["file_bytes"] = archive.file_bytes();
    d["format_version"] = archive.format_version();
    return d;
}

}  // namespace

void bind_index(py::module_& module) {
    py::class_<Index> bound(module, "Index");
    bound.def("__len__", &Index::size)
        .def_property_readonly("dim", [](const Index& i) { return i.snapshot()->spec.dim; })
        .def_property_readonly("metric",
                               [](const Index& i) { return name_of(i.snapshot()->spec.metric); })
        .def_property_readonly("dtype",
                               [](const Index& i) { return name_of(i.snapshot()->spec.dtype); })
        .def_property_readonly(
            "nbytes", py::cpp_function(&Index::bytes, py::call_guard<py::gil_scoped_release>()))
        .def("add", &add, py::arg("rows"), py::arg("labels"), py::arg("replace"),
             py::arg("threads"))
        .def(
            "remove",
            [](Index& index, const py::array& labels) {
                const auto names = as_labels(labels);
                const py::gil_scoped_release release;
                return index.remove(names);
            },
            py::arg("labels"))
        .def_property_readonly("is_trained", &Index::is_trained)
        .def_property_readonly("quantizer",
                               [](const Index& i) { return quantizer_of(*i.snapshot()); })
        .def_property_readonly("keeps_rows",
                               [](const Index& i) {
                                   const auto store = i.snapshot();
                                   return store->coding == nullptr || store->coding->keeps_rows;
                               })
        .def_property_readonly("by_signs",
                               [](const Index& i) {
                                   const auto store = i.snapshot();
                                   return store->coding != nullptr && store->coding->by_signs();
                               })
        .def("train", &train, py::arg("rows"), py::arg("threads"))
        .def("search", &search, py::arg("q"), py::arg("k"), py::arg("mask"), py::arg("threads"),
             py::arg("nprobe") = 1, py::arg("rerank") = 0, py::arg("margin") = kNoMargin,
             py::arg("epsilon") = SearchOptions{}.epsilon,
             py::arg("ef_search") = SearchOptions{}.ef_search, py::arg("map") = py::none(),
             py::arg("corpus_adapters") = Shares{})
        .def("range_search", &range_search, py::arg("q"), py::arg("threshold"), py::arg("mask"),
             py::arg("threads"), py::arg("nprobe") = 1, py::arg("margin") = kNoMargin,
             py::arg("map") = py::none(), py::arg("corpus_adapters") = Shares{})
        .def("reconstruct", &reconstruct, py::arg("labels"), py::arg("corpus_adapters") = Shares{})
        .def("labels", &labels_of)
        .def("contains", &contains, py::arg("labels"))
        .def("save", &Index::save, py::arg("path"), py::arg("durable"),
             py::call_guard<py::gil_scoped_release>())
        .def("tuning", &tuning_of)
        .def("add_tuning", &add_tuning, py::arg("settings"))
        .def("setting_for", &setting_for, py::arg("k"), py::arg("recall"), py::arg("queries"))
        .def("stats", &stats_of);
    def_corpus_adapters(bound);
    module.def("topk", &topk, py::arg("q"), py::arg("corpus"), py::arg("dtype"), py::arg("k"),
               py::arg("metric"), py::arg("mask"), py::arg("exclude_self"), py::arg("threads"),
               py::arg("map") = py::none());
    module.def("load", &load_index, py::arg("path"), py::arg("mmap"), py::arg("verify"),
               py::call_guard<py::gil_scoped_release>());
    module.def("verify", &verify, py::arg("path"));
    module.attr("MISSING") = kMissing;
}

}  // namespace nearfield::bindings
