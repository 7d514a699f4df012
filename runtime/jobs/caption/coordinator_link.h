#pragma once

#include "runtime/jobs/caption/coordinator.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/work_queue.h"
#include "runtime/status/job_status.h"
#include "runtime/status/progress.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace retinue::runtime {

/// The line between the leader of a replica and the coordinator on rank 0. One implementation calls
/// the coordinator of the same process, the other sends messages; the leader does not know which it
/// has. The leader calls between steps of its engine, so nothing here waits.
class CoordinatorLink {
 public:
  using StateOf = std::function<RankState()>;  ///< called only where a report is due
  using CarryOut = std::function<void(const StopOrder&)>;

  virtual ~CoordinatorLink() = default;

  /// Claims at most `wanted` items, where that is above 0. Returns the batch that has arrived, of
  /// this claim or of an earlier one; nothing while a claim is unanswered.
  virtual std::optional<ItemBatch> claim(std::int64_t wanted) = 0;

  /// An item ended: the monitor may show it.
  virtual void show_caption(const Item& item, std::size_t index, double seconds,
                            const std::string& caption) = 0;
  virtual void show_failure(const Item& item, std::size_t index, const DataError& error) = 0;

  /// Reports counts and state where they are due, always when `own` is finished, then carries out
  /// the orders that have arrived.
  virtual void exchange(const Counts& own, const StateOf& state, const CarryOut& carry_out) = 0;

  /// Whether a leader with these finished counts may leave: on rank 0 when all ranks have finished.
  [[nodiscard]] virtual bool may_leave(const Counts& own) const = 0;
  /// `own`; on rank 0 with the counts of all other leaders.
  [[nodiscard]] virtual Counts total(const Counts& own) const = 0;
};

/// Rank 0's own replica. Arguments outlive it.
std::unique_ptr<CoordinatorLink> in_process_link(const Session& session,
                                                 CaptionCoordinator& coordinator);
/// Any other leader. `session` outlives it.
std::unique_ptr<CoordinatorLink> message_link(const Session& session);

}  // namespace retinue::runtime
