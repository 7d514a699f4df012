#pragma once

#include "parallel/comm/communicator.h"

#include <memory>
#include <string_view>
#include <vector>

namespace retinue {

/// Ranks as threads of one process: one thread uses element r, as rank r. Host memory. When ranks
/// enter different collectives, or one collective with different shapes, all of them throw a
/// BugError naming both. A rank that destroys its communicator has left: a peer that needs it
/// throws SystemError naming it, so a test whose rank threw ends and does not hang.
std::vector<std::unique_ptr<Communicator>> make_local_group(int size, std::string_view label,
                                                            double deadline_s = 300);

/// The world of one: every collective is the identity and nothing blocks.
std::unique_ptr<Communicator> make_single(std::string_view label = "world");

}  // namespace retinue
