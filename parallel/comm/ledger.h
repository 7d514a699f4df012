#pragma once

#include "parallel/comm/communicator.h"

#include <memory>

namespace retinue {

/// `comm`, for debugging: before each collective all ranks compare what they are about to enter,
/// and where they differ every one of them throws a BugError naming both, instead of a hang or of
/// wrong numbers. Compared: which collective, the how-manyeth, dtype, size, root, row counts.
/// Groups split from it have a ledger too. Messages between two ranks are handed on as they are.
/// Costs one small all-gather per collective; collectives of device memory need a ledger over host
/// memory, so this wraps host transports only.
std::unique_ptr<Communicator> make_ledger(std::unique_ptr<Communicator> comm);

}  // namespace retinue
