#include "parallel/base/exit_code.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <array>
#include <new>

namespace retinue {

int worse_exit_code(int a, int b) {
  constexpr std::array<int, 6> kWorstFirst{kExitBug,        kExitUsage,       kExitResume,
                                           kExitOverBudget, kExitItemsFailed, kExitDone};
  const auto place = [&](int code) {
    const auto at = std::ranges::find(kWorstFirst, code);
    return at == kWorstFirst.end() ? kWorstFirst.begin() : at;
  };
  return *std::min(place(a), place(b));
}

ExitReason exit_reason(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const UsageError& usage) {
    return {kExitUsage, usage.what()};
  } catch (const SystemError& system) {
    return {kExitResume, system.what()};
  } catch (const std::bad_alloc&) {
    return {kExitResume,
            "[memory] the host has no memory left. Use fewer ranks or a smaller batch."};
  } catch (const std::exception& other) {
    return {kExitBug, other.what()};
  }
}

}  // namespace retinue
