#pragma once

#include "parallel/comm/communicator.h"

#include <memory>
#include <string_view>
#include <vector>

namespace retinue {

/// Ranks as threads of one process: element r is to be used by one thread, as rank r. Host memory.
/// A rank that enters another collective than its peers, or the same with other shapes, ends all of
/// them with a BugError naming both. A rank that destroys its communicator has left: whoever then
/// needs it throws SystemError naming it, so a test whose rank threw ends instead of hanging.
std::vector<std::unique_ptr<Communicator>> make_local_group(int size, std::string_view label,
                                                            double deadline_s = 300);

/// The world of one: every collective is the identity and nothing blocks.
std::unique_ptr<Communicator> make_single(std::string_view label = "world");

}  // namespace retinue
