#include "runtime/jobs/caption_lead.h"

#include "parallel/base/build_config.h"
#include "runtime/jobs/agree.h"
#include "runtime/jobs/replica.h"
#include "runtime/output/record.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <thread>

namespace retinue::runtime {
namespace {

/// How often leads tell rank 0 their counts.
constexpr double kTalkEvery_s = 0.5;

std::vector<std::string> names_of(const MediaReference& media) {
  std::vector<std::string> names;
  for (const MediaFile& file : media.files) names.push_back(file.name());
  return names;
}

int helper_threads(const CaptionJob& job, int local_ranks) {
  return std::clamp(thread_count(job.options.run, local_ranks) / 4, 1, 8);
}

}  // namespace

CaptionLead::CaptionLead(const Session& session, const Mesh& mesh, const CaptionJob& job,
                         Engine& engine, std::int64_t window, Feeder& feeder,
                         const StopSignal& signal, Progress* progress)
    : session_(session),
      mesh_(mesh),
      job_(job),
      engine_(engine),
      window_(window),
      feeder_(feeder),
      signal_(signal),
      progress_(progress),
      journal_(segment_path(job.options.output, session.world.rank(), job.epoch),
               job.options.fsync_interval_ms),
      others_(progress != nullptr ? static_cast<std::size_t>(mesh.shape().data - 1) : 0),
      roots_(job.options.input, job.items),
      questions_(
          job.dealt_to(mesh.data_index(), mesh.shape().data),
          [this](std::size_t item) {
            return make_question(job_.items.item(item), item, job_.model, job_.prompt,
                                 job_.sampling, job_.tables.get());
          },
          static_cast<std::size_t>(window), helper_threads(job, session.node_size)) {
  const layers::Numerics numerics = numerics_of(job.model);
  nlohmann::ordered_json start;
  start["epoch"] = job.epoch;
  start["rank"] = session.world.rank();
  start["mesh"] = {{"data", mesh.shape().data}, {"tensor", mesh.shape().tensor}};
  start["version"] = build::kVersion;
  start["fingerprint"] = numerics.fingerprint;
  journal_.append(EntryType::kStart, job.epoch, start.dump());
}

void CaptionLead::run() {
  feed();
  while (engine_.step()) {
    collect();
    feed();
    talk(false);
  }
  collect();
  journal_.close();
  own_.finished = true;
  talk(true);
  if (progress_ == nullptr) return;
  while (!counts().finished) {
    talk(false);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Counts CaptionLead::counts() const {
  Counts all = own_;
  all.engine = engine_.stats();
  for (const Counts& other : others_) all += other;
  return all;
}

void CaptionLead::feed() {
  if (drained_) return;
  while (stop_code_ == 0 && engine_.live() < window_) {
    auto entry = questions_.next();
    if (!entry) break;
    submit(std::move(*entry));
  }
  if (stop_code_ == 0 && !questions_.exhausted()) return;
  engine_.drain();
  drained_ = true;
}

void CaptionLead::submit(QuestionQueue::Entry entry) {
  if (!entry.question.ok()) return fail(entry.item, entry.question.error());
  Question& question = entry.question.value();
  question.request.logprobs = question.request.logprobs || job_.options.logprobs;
  Live live{std::move(question.headers), std::move(question.sha256), nullptr,
            question.request.logprobs};
  if (!question.stop.empty()) {
    live.text = std::make_shared<OutputText>(job_.model.detokenizer, question.stop);
    question.request.stop = [text = live.text](std::span<const std::int32_t> ids) {
      return text->update(ids);
    };
  }
  for (std::size_t i = 0; i < question.files.size(); ++i)
    feeder_.keep(media_key(entry.item, i), std::move(question.files[i]));
  live_.emplace(entry.item, std::move(live));
  if (const auto refused = engine_.submit(std::move(question.request))) fail(entry.item, *refused);
}

void CaptionLead::collect() {
  for (const Completion& completion : engine_.poll()) {
    if (!completion.error)
      finish(completion);
    else if (completion.error->stage != "cancelled")
      fail(completion.id, *completion.error);
  }
}

void CaptionLead::finish(const Completion& completion) {
  const auto found = live_.find(completion.id);
  check(found != live_.end(), "a completion is of a live item");
  const Item item = job_.items.item(completion.id);
  Live& live = found->second;
  Record record;
  record.id = item.id;
  if (live.text != nullptr) {
    live.text->update(completion.ids);
    static_cast<void>(live.text->finish());
    record.caption = live.text->text();
  } else {
    record.caption = job_.model.detokenizer.decode(completion.ids);
  }
  record.finish_reason = name(completion.finish_reason);
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
    feeder_.forget(media_key(completion.id, i));
  }
  record.sha256 = std::move(live.sha256);
  record.with_logprobs = live.logprobs;
  if (record.with_logprobs) {
    record.token_ids = completion.ids;
    record.logprobs = completion.logprobs;
  }
  live_.erase(found);
  journal_.append(EntryType::kDone, static_cast<std::int64_t>(completion.id), to_json(record));
  ++own_.done;
  own_.media += static_cast<std::int64_t>(item.media.size());
  own_.prompt_tokens += record.prompt_tokens;
  own_.completion_tokens += record.completion_tokens;
}

void CaptionLead::fail(std::size_t index, const DataError& error) {
  live_.erase(index);
  const Item item = job_.items.item(index);
  if (error.stage == "read" && roots_.gone(item)) {
    // Not the item's fault: it stays open, and the job stops as if asked to.
    if (!own_.interrupted)
      session_.log.warning("[input] " + error.message +
                           "; what it lies in is gone as a whole, so the job stops. Bring it back, "
                           "then run the same command again.");
    own_.interrupted = true;
    return;
  }
  for (std::size_t i = 0; i < item.media.size(); ++i) feeder_.forget(media_key(index, i));
  journal_.append(EntryType::kFail, static_cast<std::int64_t>(index),
                  to_json(Failure{item.id, item.source, error.stage, error.message}));
  ++own_.failed;
}

void CaptionLead::talk(bool now) {
  if (signal_.raised()) own_.interrupted = true;
  if (progress_ != nullptr) return decide();
  Communicator& world = session_.world;
  const double time = session_.clock.now_s();
  if (now || time - talked_s_ >= kTalkEvery_s) {
    talked_s_ = time;
    own_.engine = engine_.stats();
    post(world, own_, 0, JobTag::kCounts);
  }
  if (const auto code = receive<int>(world, 0, JobTag::kStop)) stop(*code);
}

void CaptionLead::decide() {
  for (std::size_t i = 0; i < others_.size(); ++i) {
    const int lead = (static_cast<int>(i) + 1) * mesh_.shape().tensor;
    while (const auto counts = receive<Counts>(session_.world, lead, JobTag::kCounts))
      others_[i] = *counts;
  }
  const Counts all = counts();
  if (stop_code_ == 0) {
    if (job_.failed_before + all.failed > job_.failures_allowed())
      stop(4);
    else if (all.interrupted)
      stop(75);
  }
  progress_->update(all);
}

void CaptionLead::stop(int code) {
  stop_code_ = code;
  if (progress_ != nullptr)
    for (int lead = mesh_.shape().tensor; lead < mesh_.world().size(); lead += mesh_.shape().tensor)
      post(session_.world, code, lead, JobTag::kStop);
  // What is in flight has no record yet and runs again when the job goes on.
  engine_.cancel();
  feed();
}

}  // namespace retinue::runtime
