#include "runtime/jobs/caption/leader.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace retinue::runtime {

CaptionLeader::CaptionLeader(Parts parts)
    : parts_(std::move(parts)),
      writer_(parts_.job, parts_.mesh.shape(), parts_.session.world.rank(), parts_.session.clock,
              parts_.format),
      roots_(parts_.job.options.input, parts_.job.items),
      pump_(
          {.session = parts_.session,
           .mesh = parts_.mesh,
           .job = parts_.job,
           .engine = parts_.engine,
           .prefetcher = parts_.prefetcher,
           .link = parts_.link,
           .window = parts_.window,
           .make =
               [this](std::size_t item) {
                 writer_.taken(item);
                 return parts_.make(item);
               },
           .on_failure = [this](std::size_t item, const DataError& error) { fail(item, error); }}) {
}

void CaptionLeader::run() {
  pump_.fill();
  while (parts_.engine.step()) {
    if (parts_.profile != nullptr) parts_.profile->stepped(parts_.engine.stats());
    collect();
    pump_.fill();
    exchange_messages();
  }
  collect();
  writer_.close();
  finished_ = true;
  exchange_messages();
  while (!parts_.link.may_leave(own())) {
    exchange_messages();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void CaptionLeader::collect() {
  for (const Completion& completion : parts_.engine.poll()) {
    if (!completion.error)
      finish(completion);
    else if (completion.error->stage != kCancelledStage)
      fail(completion.id, *completion.error);
  }
}

void CaptionLeader::finish(const Completion& completion) {
  const Item item = parts_.items(completion.id);
  auto request = pump_.release(completion.id, item.media.size());
  check(request.has_value(), "a completion belongs to a request in flight");
  const Record record = writer_.record_of(completion, item, *request);
  if (parts_.profile != nullptr) parts_.profile->ended(completion, request->headers);
  const double seconds = parts_.session.clock.now_s() - request->submitted_s;
  item_seconds_.add(seconds);
  parts_.link.show_caption(item, completion.id, seconds, record.caption);
  writer_.done(completion.id, record);
}

void CaptionLeader::fail(std::size_t index, const DataError& error) {
  const Item item = parts_.items(index);
  pump_.release(index, item.media.size());
  if (error.stage == "read" && roots_.gone(item)) {
    // Not the item's fault: it stays open, and the job stops as if asked to.
    if (!interrupted_)
      parts_.session.log.warning(
          "[input] " + error.message +
          "; the folder, archive or file system that holds it is gone, so the job stops. Bring it "
          "back, then run the same command again.");
    interrupted_ = true;
    return;
  }
  parts_.link.show_failure(item, index, error);
  writer_.failed(index, {item.id, item.source, error.stage, error.message});
}

void CaptionLeader::exchange_messages() {
  writer_.count_durable();
  interrupted_ = interrupted_ || parts_.signal.raised();
  hurried_ = hurried_ || parts_.signal.hurries();
  cancel_overdue();
  parts_.link.exchange(
      own(), [this] { return state(); }, [this](const StopOrder& order) { stop(order); });
}

void CaptionLeader::cancel_overdue() {
  if (!cancel_at_s_ || parts_.session.clock.now_s() < *cancel_at_s_) return;
  // Their items have no record yet and run again when the job resumes.
  parts_.engine.cancel();
  cancel_at_s_.reset();
}

void CaptionLeader::stop(const StopOrder& order) {
  stop_code_ = order.code;
  const double at_s = parts_.session.clock.now_s() + order.within_s;
  cancel_at_s_ = cancel_at_s_ ? std::min(*cancel_at_s_, at_s) : at_s;
  pump_.stop();
}

Counts CaptionLeader::own() const {
  Counts counts = writer_.counts();
  counts.engine = parts_.engine.stats();
  counts.interrupted = interrupted_;
  counts.hurried = hurried_;
  counts.finished = finished_;
  return counts;
}

RankState CaptionLeader::state() {
  RankState state;
  state.engine = parts_.engine.stats();
  state.feed = parts_.prefetcher.state();
  state.finished = finished_;
  state.live = parts_.engine.live();
  state.requests = pump_.waiting();
  state.prepare_s = pump_.times().seconds;
  state.write_s = writer_.write_s();
  state.item_seconds = item_seconds_;
  return state;
}

}  // namespace retinue::runtime
