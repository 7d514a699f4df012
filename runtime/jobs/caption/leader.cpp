#include "runtime/jobs/caption/leader.h"

#include "parallel/base/build_config.h"
#include "runtime/failure/crash_report.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/replica.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

namespace retinue::runtime {
namespace {

/// How often leads tell rank 0 their counts.
constexpr double kMessagesEvery_s = 0.5;

std::vector<std::string> names_of(const MediaReference& media) {
  std::vector<std::string> names;
  for (const MediaFile& file : media.files) names.push_back(file.name());
  return names;
}

}  // namespace

CaptionLeader::CaptionLeader(const Session& session, const Mesh& mesh, const CaptionJob& job,
                             Engine& engine, std::int64_t window, Prefetcher& prefetcher,
                             const StopSignal& signal, CaptionCoordinator* coordinator,
                             Profile* profile)
    : session_(session),
      mesh_(mesh),
      job_(job),
      engine_(engine),
      window_(window),
      prefetcher_(prefetcher),
      signal_(signal),
      coordinator_(coordinator),
      profile_(profile),
      bisection_(
          plan_bisection(job.attributed, job.suspects, mesh.data_index(), mesh.shape().data)),
      left_(job.open_count),
      journal_(segment_path(job.options.output, session.world.rank(), job.epoch),
               job.options.fsync_interval_ms),
      roots_(job.options.input, job.items),
      requests_([this](std::size_t item) { return make(item); }, static_cast<std::size_t>(window),
                decode_threads(thread_count(job.options.run, session.node_size)),
                bisection_.stops) {
  own_.start_up = job.start_up;
  requests_.add(bisection_.items);
  const layers::Numerics numerics = numerics_of(job.model);
  nlohmann::ordered_json start;
  start["epoch"] = job.epoch;
  start["rank"] = session.world.rank();
  start["mesh"] = {{"data", mesh.shape().data}, {"tensor", mesh.shape().tensor}};
  start["version"] = build::kVersion;
  start["fingerprint"] = numerics.fingerprint;
  numerics_ = numerics.fingerprint.substr(0, 16);
  journal_.append(EntryType::kStart, job.epoch, start.dump());
}

Result<PreparedRequest> CaptionLeader::make(std::size_t item) {
  // Before its first byte is read: whatever the process dies of, the journal names what it held.
  journal_.append(EntryType::kTaken, static_cast<std::int64_t>(item), "{}");
  if (!prepared_.empty()) return std::move(*prepared_[item]);
  const WorkOn work_on(static_cast<std::int64_t>(item));
  const double begin_s = session_.clock.now_s();
  try {
    auto prepared = prepare_request(job_.item(item), item, job_.model, job_.prompt, job_.sampling,
                                    job_.tables.get(), job_.isolated.get());
    prepare_s_ += session_.clock.now_s() - begin_s;
    return prepared;
  } catch (const std::bad_alloc&) {
    return DataError{"read", "no memory for its files"};
  }
}

void CaptionLeader::prepare() {
  std::vector<std::optional<Result<PreparedRequest>>> made(job_.items.size());
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i] = make(i);
    if (made[i]->ok()) made[i]->value().files.clear();  // nobody will decode them
  }
  prepared_ = std::move(made);
}

void CaptionLeader::run() {
  feed();
  while (engine_.step()) {
    if (profile_ != nullptr) profile_->stepped(engine_.stats());
    collect();
    feed();
    exchange_messages(false);
  }
  collect();
  journal_.close();
  count_durable();
  own_.finished = true;
  exchange_messages(true);
  if (coordinator_ == nullptr) return;
  while (!counts().finished || !coordinator_->others_finished()) {
    exchange_messages(false);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  coordinator_->update_own(state(), own_);
}

Counts CaptionLeader::counts() const {
  Counts all = own_;
  all.engine = engine_.stats();
  return coordinator_ != nullptr ? coordinator_->with_others(all) : all;
}

void CaptionLeader::ask_for_items() {
  if (left_ == 0 || stop_code_ != 0) return;
  const std::int64_t wanted =
      items_at_hand(left_, mesh_.shape().data, window_ / 2) - engine_.live() - requests_.waiting();
  if (coordinator_ != nullptr) {
    if (wanted > 0) take(coordinator_->claim(wanted));
    return;
  }
  if (asked_) {
    const auto batch = receive<ItemBatch>(session_.world, 0, JobTag::kBatch);
    if (!batch) return;
    asked_ = false;
    take(*batch);
  } else if (wanted > 0) {
    post(session_.world, wanted, 0, JobTag::kClaim);
    asked_ = true;
  }
}

void CaptionLeader::take(const ItemBatch& batch) {
  left_ = batch.left;
  requests_.add(std::span(batch.items).first(static_cast<std::size_t>(batch.count)));
  if (left_ == 0) requests_.close();
}

void CaptionLeader::feed() {
  if (drained_) return;
  ask_for_items();
  if (engine_.live() == 0) requests_.pass();
  while (stop_code_ == 0 && engine_.live() < window_) {
    auto entry = requests_.next();
    if (!entry) break;
    submit(std::move(*entry));
  }
  if (stop_code_ == 0 && !requests_.exhausted()) return;
  engine_.drain();
  drained_ = true;
}

void CaptionLeader::submit(RequestQueue::Entry entry) {
  if (!entry.prepared.ok()) return fail(entry.item, entry.prepared.error());
  PreparedRequest& prepared = entry.prepared.value();
  prepared.request.top_logprobs = job_.options.top_logprobs;
  prepared.request.logprobs =
      prepared.request.logprobs || job_.options.logprobs || prepared.request.top_logprobs > 0;
  Live live{std::move(prepared.headers),   std::move(prepared.sha256), nullptr,
            prepared.request.top_logprobs, prepared.request.logprobs,  session_.clock.now_s()};
  if (!prepared.stop.empty()) {
    live.text = std::make_shared<OutputText>(job_.model.detokenizer, prepared.stop);
    prepared.request.stop = [text = live.text](std::span<const std::int32_t> ids) {
      return text->update(ids);
    };
  }
  for (std::size_t i = 0; i < prepared.files.size(); ++i)
    prefetcher_.keep(media_key(entry.item, i), std::move(prepared.files[i]));
  live_.emplace(entry.item, std::move(live));
  if (const auto refused = engine_.submit(std::move(prepared.request))) fail(entry.item, *refused);
}

void CaptionLeader::collect() {
  for (const Completion& completion : engine_.poll()) {
    if (!completion.error)
      finish(completion);
    else if (completion.error->stage != "cancelled")
      fail(completion.id, *completion.error);
  }
}

Record CaptionLeader::record_of(const Completion& completion, const Item& item, Live& live) const {
  Record record;
  record.id = item.id;
  if (live.text != nullptr) {
    live.text->update(completion.ids);
    static_cast<void>(live.text->finish());
    record.caption = live.text->text();
  } else {
    record.caption = job_.model.detokenizer.decode(completion.ids);
  }
  // Nobody may take it for an answer, wherever the line ends up.
  record.finish_reason = job_.is_garbled() ? "ablation" : name(completion.finish_reason);
  record.prompt_tokens = completion.prompt_tokens;
  record.completion_tokens = static_cast<std::int64_t>(completion.ids.size());
  const std::int64_t merge_unit = job_.model.config.vision.merge_unit();
  for (std::size_t i = 0; i < item.media.size(); ++i) {
    const MediaHeader& header = live.headers[i];
    record.media.push_back({.video = header.grid.kind == MediaKind::kVideo,
                            .paths = names_of(item.media[i]),
                            .width = header.size.width,
                            .height = header.size.height,
                            .visual_tokens = header.grid.grid_thw.patches() / merge_unit});
  }
  record.sha256 = std::move(live.sha256);
  record.numerics = numerics_;
  record.with_logprobs = live.logprobs;
  if (!record.with_logprobs) return record;
  record.token_ids = completion.ids;
  record.logprobs = completion.logprobs;
  for (std::size_t i = 0; i < completion.top_logprobs.size(); ++i) {
    if (i % static_cast<std::size_t>(live.top_logprobs) == 0) record.top_logprobs.emplace_back();
    const TokenLogprob& token = completion.top_logprobs[i];
    record.top_logprobs.back().emplace_back(token.id, token.logprob);
  }
  return record;
}

void CaptionLeader::note_profile(const Completion& completion, const Live& live) {
  if (profile_ == nullptr) return;
  std::int64_t patches = 0;
  for (const MediaHeader& header : live.headers) patches += header.grid.grid_thw.patches();
  profile_->ended(completion.prompt_tokens, static_cast<std::int64_t>(completion.ids.size()),
                  patches, completion.finish_reason == FinishReason::kStop);
}

void CaptionLeader::finish(const Completion& completion) {
  const auto found = live_.find(completion.id);
  check(found != live_.end(), "a completion is of a live item");
  const Item item = job_.item(completion.id);
  Live& live = found->second;
  const Record record = record_of(completion, item, live);
  for (std::size_t i = 0; i < item.media.size(); ++i)
    prefetcher_.forget(media_key(completion.id, i));
  note_profile(completion, live);
  const double ended_s = session_.clock.now_s();
  item_seconds_.add(ended_s - live.submitted_s);
  show(item, completion.id, ended_s - live.submitted_s, record.caption);
  live_.erase(found);
  not_durable_.push_back(
      {.entry = journal_.append(EntryType::kDone, static_cast<std::int64_t>(completion.id),
                                to_json(record)),
       .done = true,
       .media = static_cast<std::int64_t>(item.media.size()),
       .prompt_tokens = record.prompt_tokens,
       .completion_tokens = record.completion_tokens});
  write_s_ += session_.clock.now_s() - ended_s;
}

void CaptionLeader::fail(std::size_t index, const DataError& error) {
  live_.erase(index);
  const Item item = job_.item(index);
  if (error.stage == "read" && roots_.gone(item)) {
    // Not the item's fault: it stays open, and the job stops as if asked to.
    if (!own_.interrupted)
      session_.log.warning("[input] " + error.message +
                           "; what it lies in is gone as a whole, so the job stops. Bring it back, "
                           "then run the same command again.");
    own_.interrupted = true;
    return;
  }
  for (std::size_t i = 0; i < item.media.size(); ++i) prefetcher_.forget(media_key(index, i));
  show(item, index, error);
  not_durable_.push_back({.entry = journal_.append(
                              EntryType::kFail, static_cast<std::int64_t>(index),
                              to_json(Failure{item.id, item.source, error.stage, error.message}))});
}

void CaptionLeader::count_durable() {
  for (const std::int64_t durable = journal_.durable();
       !not_durable_.empty() && not_durable_.front().entry <= durable; not_durable_.pop_front()) {
    const Ended& ended = not_durable_.front();
    ++(ended.done ? own_.done : own_.failed);
    if (ended.done && own_.start_up.first_caption_s < 0)
      own_.start_up.first_caption_s = session_.clock.now_s() - job_.launched_s;
    own_.media += ended.media;
    own_.prompt_tokens += ended.prompt_tokens;
    own_.completion_tokens += ended.completion_tokens;
  }
}

void CaptionLeader::exchange_messages(bool now) {
  count_durable();
  if (signal_.raised()) own_.interrupted = true;
  if (signal_.hurries()) own_.hurried = true;
  const double time = session_.clock.now_s();
  if (cancel_at_s_ && time >= *cancel_at_s_) {
    // It has no record yet and runs again when the job goes on.
    engine_.cancel();
    cancel_at_s_.reset();
  }
  if (coordinator_ != nullptr) return coordinate();
  Communicator& world = session_.world;
  if (now || time - messages_s_ >= kMessagesEvery_s) {
    messages_s_ = time;
    own_.engine = engine_.stats();
    post(world, own_, 0, JobTag::kCounts);
  }
  if (now || time - reported_state_s_ >= kStateEvery_s) {
    reported_state_s_ = time;
    post(world, state(), 0, JobTag::kState);
  }
  while (const auto order = receive<StopOrder>(world, 0, JobTag::kStop)) stop(*order);
}

void CaptionLeader::coordinate() {
  coordinator_->receive_messages();
  const double time_s = session_.clock.now_s();
  if (time_s - reported_state_s_ >= kStateEvery_s) {
    reported_state_s_ = time_s;
    coordinator_->update_own(state(), own_);
  }
  const Counts all = counts();
  while (const auto order = coordinator_->next_order(all, stop_code_)) stop(*order);
  coordinator_->show(all);
}

RankState CaptionLeader::state() {
  RankState state;
  state.engine = engine_.stats();
  state.feed = prefetcher_.state();
  state.finished = own_.finished;
  state.live = engine_.live();
  state.requests = requests_.waiting();
  state.prepare_s = prepare_s_;
  state.write_s = write_s_;
  state.item_seconds = item_seconds_;
  return state;
}

void CaptionLeader::show(const Item& item, std::size_t index, double seconds,
                         const std::string& caption) {
  if (coordinator_ != nullptr)
    coordinator_->caption(item, index, seconds, caption);
  else if (event_pace_.caption(session_.clock.now_s()))
    post(session_.world, make_event(static_cast<std::int64_t>(index), false, seconds, "", caption),
         0, JobTag::kEvent);
}

void CaptionLeader::show(const Item& item, std::size_t index, const DataError& error) {
  if (coordinator_ != nullptr)
    coordinator_->failure(item, error);
  else if (event_pace_.failure(session_.clock.now_s()))
    post(session_.world,
         make_event(static_cast<std::int64_t>(index), true, 0, error.stage, error.message), 0,
         JobTag::kEvent);
}

void CaptionLeader::stop(const StopOrder& order) {
  stop_code_ = order.code;
  if (coordinator_ != nullptr) coordinator_->pass_on(order);
  const double at_s = session_.clock.now_s() + order.within_s;
  cancel_at_s_ = cancel_at_s_ ? std::min(*cancel_at_s_, at_s) : at_s;
  feed();
}

}  // namespace retinue::runtime
