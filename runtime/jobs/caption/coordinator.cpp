#include "runtime/jobs/caption/coordinator.h"

#include "parallel/base/exit_code.h"

namespace retinue::runtime {
namespace {

/// Time for requests in flight after a SIGTERM: mpirun kills two seconds after it.
constexpr double kHurry_s = 0.7;

std::set<std::int64_t> items_of_bisection(const CaptionJob& job) {
  std::set<std::int64_t> items = job.attributed_items;
  items.insert(job.suspect_items.begin(), job.suspect_items.end());
  return items;
}

}  // namespace

CaptionCoordinator::CaptionCoordinator(const Session& session, const Mesh& mesh,
                                       const CaptionJob& job, Progress& progress,
                                       StatusBoard& board, Thumbnails* thumbnails)
    : session_(session),
      mesh_(mesh),
      job_(job),
      progress_(progress),
      board_(board),
      thumbnails_(thumbnails),
      bisected_(items_of_bisection(job)),
      work_queue_(
          job.open, bisected_, [&job](std::size_t item) { return job.items.cost(item); },
          mesh.shape().data),
      others_(static_cast<std::size_t>(mesh.shape().data - 1)) {}

void CaptionCoordinator::receive_messages() {
  serve_claims();
  receive_counts();
  receive_states();
}

void CaptionCoordinator::serve_claims() {
  for (int leader = mesh_.shape().tensor; leader < mesh_.world().size();
       leader += mesh_.shape().tensor)
    while (const auto wanted = receive<std::int64_t>(session_.world, leader, JobTag::kClaim))
      post(session_.world, work_queue_.next(*wanted), leader, JobTag::kBatch);
}

void CaptionCoordinator::receive_counts() {
  for (std::size_t i = 0; i < others_.size(); ++i) {
    const int leader = (static_cast<int>(i) + 1) * mesh_.shape().tensor;
    while (const auto counts = receive<Counts>(session_.world, leader, JobTag::kCounts))
      others_[i] = *counts;
  }
}

void CaptionCoordinator::receive_states() {
  const int tensor = mesh_.shape().tensor;
  for (int rank = 1; rank < session_.world.size(); ++rank) {
    while (const auto state = receive<RankState>(session_.world, rank, JobTag::kState))
      board_.rank(rank, *state);
    if (rank % tensor != 0) continue;
    const Counts& counts = others_[static_cast<std::size_t>(rank / tensor - 1)];
    board_.leader(rank, counts.done, counts.failed);
    while (const auto event = receive<JobEvent>(session_.world, rank, JobTag::kEvent))
      show(*event, rank / tensor);
  }
}

void CaptionCoordinator::show(const JobEvent& event, int replica) {
  const Item item = job_.items.item(static_cast<std::size_t>(event.item));
  if (event.failed)
    board_.failure({.id = item.id,
                    .stage = event.stage.data(),
                    .message = event.text.data(),
                    .replica = replica});
  else
    board_.caption({.id = item.id,
                    .caption = event.text.data(),
                    .replica = replica,
                    .seconds = event.seconds,
                    .thumbnail = nullptr});
}

Counts CaptionCoordinator::with_others(Counts own) const {
  for (const Counts& other : others_) own += other;
  return own;
}

void CaptionCoordinator::report_own(const RankState& state, const Counts& counts) {
  board_.rank(0, state);
  board_.leader(0, counts.done, counts.failed);
}

void CaptionCoordinator::show_caption(const Item& item, std::size_t index, double seconds,
                                      const std::string& caption) {
  board_.caption({.id = item.id,
                  .caption = caption,
                  .replica = 0,
                  .seconds = seconds,
                  .thumbnail = thumbnails_ != nullptr
                                   ? thumbnails_->take(static_cast<std::int64_t>(index))
                                   : nullptr});
}

void CaptionCoordinator::show_failure(const Item& item, const DataError& error) {
  board_.failure({.id = item.id, .stage = error.stage, .message = error.message, .replica = 0});
}

std::optional<StopOrder> CaptionCoordinator::decide(const Counts& all) {
  if (stop_code_ == 0 && job_.failed_before + all.failed > job_.failures_allowed())
    return StopOrder{.code = kExitOverBudget};
  if (stop_code_ == 0 && all.interrupted)
    return StopOrder{.code = kExitResume,
                     .within_s = static_cast<double>(job_.options.stop_deadline_s)};
  if (all.hurried && !hurried_) {
    hurried_ = true;
    return StopOrder{.code = stop_code_, .within_s = kHurry_s};
  }
  return std::nullopt;
}

std::optional<StopOrder> CaptionCoordinator::next_order(const Counts& all) {
  const auto order = decide(all);
  if (!order) return std::nullopt;
  stop_code_ = order->code;
  board_.phase(JobPhase::kStopping);
  for (int leader = mesh_.shape().tensor; leader < mesh_.world().size();
       leader += mesh_.shape().tensor)
    post(session_.world, *order, leader, JobTag::kStop);
  return order;
}

void CaptionCoordinator::show_progress(const Counts& all) {
  progress_.update(all);
  board_.update(all, progress_);
}

}  // namespace retinue::runtime
