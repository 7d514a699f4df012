#include "runtime/jobs/caption/record_writer.h"

#include "parallel/base/build_config.h"
#include "runtime/jobs/replica.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace retinue::runtime {
namespace {

std::vector<std::string> names_of(const MediaReference& media) {
  std::vector<std::string> names;
  for (const MediaFile& file : media.files) names.push_back(file.name());
  return names;
}

std::vector<ShownMedia> shown_media(const Item& item, const InFlight& request,
                                    std::int64_t merge_unit) {
  std::vector<ShownMedia> shown;
  for (std::size_t i = 0; i < item.media.size(); ++i) {
    const MediaHeader& header = request.headers[i];
    shown.push_back({.video = header.grid.kind == MediaKind::kVideo,
                     .paths = names_of(item.media[i]),
                     .width = header.size.width,
                     .height = header.size.height,
                     .visual_tokens = header.grid.grid_thw.patches() / merge_unit});
  }
  return shown;
}

}  // namespace

RecordWriter::RecordWriter(const CaptionJob& job, const MeshShape& mesh, int rank,
                           const Clock& clock, Format format)
    : job_(job),
      clock_(clock),
      format_(std::move(format)),
      journal_(segment_path(job.options.output, rank, job.epoch), job.options.fsync_interval_ms) {
  counts_.start_up = job.start_up;
  const layers::Numerics numerics = numerics_of(job.model);
  numerics_ = numerics.fingerprint.substr(0, 16);
  nlohmann::ordered_json start;
  start["epoch"] = job.epoch;
  start["rank"] = rank;
  start["mesh"] = {{"data", mesh.data}, {"tensor", mesh.tensor}};
  start["version"] = build::kVersion;
  start["fingerprint"] = numerics.fingerprint;
  start["model"] = job.model.identity;
  journal_.append(EntryType::kStart, job.epoch, start.dump());
}

void RecordWriter::taken(std::size_t item) {
  journal_.append(EntryType::kTaken, static_cast<std::int64_t>(item), "{}");
}

Record RecordWriter::record_of(const Completion& completion, const Item& item,
                               InFlight& request) const {
  Record record;
  record.id = item.id;
  if (request.text != nullptr) {
    request.text->update(completion.ids);
    static_cast<void>(request.text->finish());
    record.caption = request.text->text();
  } else {
    record.caption = job_.model.detokenizer.decode(completion.ids);
  }
  record.finish_reason = name(completion.finish_reason);
  record.prompt_tokens = completion.prompt_tokens;
  record.completion_tokens = static_cast<std::int64_t>(completion.ids.size());
  record.media = shown_media(item, request, job_.model.config.vision.merge_unit());
  record.sha256 = std::move(request.sha256);
  record.numerics = numerics_;
  record.with_logprobs = request.logprobs;
  if (!record.with_logprobs) return record;
  record.token_ids = completion.ids;
  record.logprobs = completion.logprobs;
  for (std::size_t i = 0; i < completion.top_logprobs.size(); ++i) {
    if (i % static_cast<std::size_t>(request.top_logprobs) == 0) record.top_logprobs.emplace_back();
    const TokenLogprob& token = completion.top_logprobs[i];
    record.top_logprobs.back().emplace_back(token.id, token.logprob);
  }
  return record;
}

void RecordWriter::done(std::size_t item, const Record& record) {
  const double begin_s = clock_.now_s();
  not_durable_.push_back(
      {.entry = journal_.append(EntryType::kDone, static_cast<std::int64_t>(item), format_(record)),
       .done = true,
       .media = static_cast<std::int64_t>(record.media.size()),
       .prompt_tokens = record.prompt_tokens,
       .completion_tokens = record.completion_tokens});
  write_s_ += clock_.now_s() - begin_s;
}

void RecordWriter::failed(std::size_t item, const FailureRecord& failure) {
  not_durable_.push_back(
      {.entry =
           journal_.append(EntryType::kFail, static_cast<std::int64_t>(item), to_json(failure))});
}

void RecordWriter::count_durable() {
  journal_.verify_place();
  for (const std::int64_t durable = journal_.durable();
       !not_durable_.empty() && not_durable_.front().entry <= durable; not_durable_.pop_front()) {
    const Ended& ended = not_durable_.front();
    ++(ended.done ? counts_.done : counts_.failed);
    if (ended.done && counts_.start_up.first_caption_s < 0)
      counts_.start_up.first_caption_s = clock_.now_s() - job_.launched_s;
    counts_.media += ended.media;
    counts_.prompt_tokens += ended.prompt_tokens;
    counts_.completion_tokens += ended.completion_tokens;
  }
}

void RecordWriter::close() {
  journal_.close();
  count_durable();
}

}  // namespace retinue::runtime
