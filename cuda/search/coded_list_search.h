// Search of lists whose rows a device has as codes: exact over the decoded rows of the nprobe lists nearest to
// each query, as the CPU's IvfIndex answers (decision 0007).
//
// The rows of all lists that a tile of queries looks into are numbered one list behind the other; they are
// decoded a slice at a time, and a slice is searched list by list as any rows are. The best of a slice join
// those of the slices before it. Lists that nobody looks into are not decoded. Nothing is decided on the host,
// so nothing waits: slices that turn out to be empty are launched all the same.
// Cost: a decode of the probed lists and ListPass over them, for each tile of queries.
// Source: own; docs/decisions/0023.
#pragma once

#include "cuda/search/coded_rows.h"
#include "cuda/search/list_search.h"

namespace nearfield::cuda {

/// Codes in the order of lists.
struct CodedLists {
    CodedRows coded;
    ListedRows listed;  // `rows` have no address and no constants
    CUdeviceptr centres =
        0;  // a list each, which codes are of what rows differ from; 0: of the rows themselves
    std::size_t slice_rows = 0;  // decoded at a time; 0: as many as take 256 MB
};

struct CodedListRequest {
    const CodedLists& lists;
    ListRequest asked;  // of lists.listed
};

/// Bytes that search_coded_lists() works in. std::invalid_argument for sizes that do not fit.
std::size_t coded_list_scratch_bytes(const CodedListRequest& request);

/// Enqueues the search. scratch: memory aligned to 256 bytes that nobody else uses before the stream is past
/// this call.
void search_coded_lists(const StreamRef& stream, const CodedListRequest& request,
                        const SearchOut& out, CUdeviceptr scratch);

}  // namespace nearfield::cuda
