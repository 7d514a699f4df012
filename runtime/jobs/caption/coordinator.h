#pragma once

#include "parallel/mesh/mesh.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/work_queue.h"
#include "runtime/status/progress.h"
#include "runtime/status/status_board.h"
#include "runtime/status/thumbnails.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace retinue::runtime {

/// What rank 0 does for all replicas of a caption job, beside leading its own: deals the items,
/// hears how every rank stands, shows it, and says when the job has to stop. Its lead calls between
/// steps of its engine; nothing here waits.
class CaptionCoordinator {
 public:
  /// All arguments outlive it. `thumbnails` null: nobody looks.
  CaptionCoordinator(const Session& session, const Mesh& mesh, const CaptionJob& job,
                     Progress& progress, StatusBoard& board, Thumbnails* thumbnails);
  CaptionCoordinator(const CaptionCoordinator&) = delete;
  CaptionCoordinator& operator=(const CaptionCoordinator&) = delete;

  /// Items for this rank's own replica, at most `wanted`.
  ItemBatch claim(std::int64_t wanted) { return work_queue_.next(wanted); }
  /// Answers leads that ask for items; takes in all that ranks have sent of themselves.
  void receive_messages();
  /// `own` and what the other leads have counted.
  [[nodiscard]] Counts with_others(Counts own) const;
  /// How this rank's own replica stands.
  void update_own(const RankState& state, const Counts& counts);
  /// An item of this rank's own replica ended.
  void caption(const Item& item, std::size_t index, double seconds, const std::string& caption);
  void failure(const Item& item, const DataError& error);

  /// What the counts of all leads demand, until nothing more: the caller carries each order out.
  ///   stop_code  of the last order, 0 before the first
  std::optional<StopOrder> next_order(const Counts& all, int stop_code);
  /// Tells the other leads.
  void pass_on(const StopOrder& order);

  /// Shows where it is time to.
  void show(const Counts& all);
  /// Every rank but this one has sent its last word.
  [[nodiscard]] bool others_finished() const { return board_.all_finished(); }

 private:
  void answer_claims();
  void receive_counts();
  void receive_states();
  void show(const JobEvent& event, int replica);

  const Session& session_;
  const Mesh& mesh_;
  const CaptionJob& job_;
  Progress& progress_;
  StatusBoard& board_;
  Thumbnails* thumbnails_;
  std::set<std::int64_t> bisected_;  ///< by all replicas, and so not dealt
  WorkQueue work_queue_;
  std::vector<Counts> others_;  ///< of the other leads
  bool hurried_ = false;
};

}  // namespace retinue::runtime
