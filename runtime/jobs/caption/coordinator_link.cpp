#include "runtime/jobs/caption/coordinator_link.h"

#include "runtime/status/status_board.h"

namespace retinue::runtime {
namespace {

/// How often leaders report their counts to rank 0.
constexpr double kCountsEvery_s = 0.5;

class InProcessLink final : public CoordinatorLink {
 public:
  InProcessLink(const Session& session, CaptionCoordinator& coordinator)
      : session_(session), coordinator_(coordinator) {}

  std::optional<ItemBatch> claim(std::int64_t wanted) override {
    if (wanted <= 0) return std::nullopt;
    return coordinator_.claim(wanted);
  }

  void show_caption(const Item& item, std::size_t index, double seconds,
                    const std::string& caption) override {
    coordinator_.show_caption(item, index, seconds, caption);
  }
  void show_failure(const Item& item, std::size_t /*index*/, const DataError& error) override {
    coordinator_.show_failure(item, error);
  }

  void exchange(const Counts& own, const StateOf& state, const CarryOut& carry_out) override {
    coordinator_.receive_messages();
    const double time_s = session_.clock.now_s();
    const bool last = own.finished && !reported_finish_;
    if (last || time_s - reported_state_s_ >= kStateEvery_s) {
      reported_state_s_ = time_s;
      reported_finish_ = own.finished;
      coordinator_.report_own(state(), own);
    }
    const Counts all = total(own);
    while (const auto order = coordinator_.next_order(all)) carry_out(*order);
    coordinator_.show_progress(all);
  }

  [[nodiscard]] bool may_leave(const Counts& own) const override {
    return total(own).finished && coordinator_.others_finished();
  }
  [[nodiscard]] Counts total(const Counts& own) const override {
    return coordinator_.with_others(own);
  }

 private:
  const Session& session_;
  CaptionCoordinator& coordinator_;
  double reported_state_s_ = 0;
  bool reported_finish_ = false;
};

class MessageLink final : public CoordinatorLink {
 public:
  explicit MessageLink(const Session& session) : session_(session) {}

  std::optional<ItemBatch> claim(std::int64_t wanted) override {
    if (claimed_) {
      const auto batch = receive<ItemBatch>(session_.world, 0, JobTag::kBatch);
      claimed_ = !batch;
      return batch;
    }
    if (wanted > 0) {
      post(session_.world, wanted, 0, JobTag::kClaim);
      claimed_ = true;
    }
    return std::nullopt;
  }

  void show_caption(const Item& /*item*/, std::size_t index, double seconds,
                    const std::string& caption) override {
    if (event_pace_.caption(session_.clock.now_s()))
      post(session_.world,
           make_event(static_cast<std::int64_t>(index), false, seconds, "", caption), 0,
           JobTag::kEvent);
  }
  void show_failure(const Item& /*item*/, std::size_t index, const DataError& error) override {
    if (event_pace_.failure(session_.clock.now_s()))
      post(session_.world,
           make_event(static_cast<std::int64_t>(index), true, 0, error.stage, error.message), 0,
           JobTag::kEvent);
  }

  void exchange(const Counts& own, const StateOf& state, const CarryOut& carry_out) override {
    Communicator& world = session_.world;
    const double time_s = session_.clock.now_s();
    if (own.finished || time_s - reported_counts_s_ >= kCountsEvery_s) {
      reported_counts_s_ = time_s;
      post(world, own, 0, JobTag::kCounts);
    }
    if (own.finished || time_s - reported_state_s_ >= kStateEvery_s) {
      reported_state_s_ = time_s;
      post(world, state(), 0, JobTag::kState);
    }
    while (const auto order = receive<StopOrder>(world, 0, JobTag::kStop)) carry_out(*order);
  }

  [[nodiscard]] bool may_leave(const Counts& /*own*/) const override { return true; }
  [[nodiscard]] Counts total(const Counts& own) const override { return own; }

 private:
  const Session& session_;
  bool claimed_ = false;  ///< a claim is unanswered
  EventPace event_pace_;
  double reported_counts_s_ = 0, reported_state_s_ = 0;
};

}  // namespace

std::unique_ptr<CoordinatorLink> in_process_link(const Session& session,
                                                 CaptionCoordinator& coordinator) {
  return std::make_unique<InProcessLink>(session, coordinator);
}

std::unique_ptr<CoordinatorLink> message_link(const Session& session) {
  return std::make_unique<MessageLink>(session);
}

}  // namespace retinue::runtime
