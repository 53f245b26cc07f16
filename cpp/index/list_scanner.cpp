#include "index/list_scanner.h"

#include "index/decoded_scanner.h"
#include "index/fast_scanner.h"
#include "index/panel_scanner.h"
#include "index/score_scanner.h"
#include "index/sign_scanner.h"

namespace nearfield {

std::unique_ptr<ListScanner> make_list_scanner(const ListTask& task, bool one_by_one) {
    if (!task.rows.coded) return std::make_unique<PanelScanner>(task);
    // Planes bound the scores of rows as they are.
    if (task.rows.by_signs() && task.rows.is_reweighted()) {
        return std::make_unique<DecodedScanner>(task);
    }
    if (task.rows.by_signs()) return std::make_unique<SignScanner>(task);
    const bool packed = task.rows.coded->packed_rows != 0;
    if (packed && (one_by_one || task.rows.can_refine()))
        return std::make_unique<FastScanner>(task);
    if (one_by_one) return std::make_unique<ScoreScanner>(task);
    return std::make_unique<DecodedScanner>(task);
}

}  // namespace nearfield
