#include "runtime/jobs/caption/ablation.h"

#include "parallel/comm/decorators.h"
#include "runtime/jobs/caption/preloaded_pixels.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

bool null_collectives(const CaptionJob& job) {
  return job.options.ablation == AblationKind::kNullCollectives;
}
bool preloads_pixels(const CaptionJob& job) {
  return job.options.ablation == AblationKind::kPreloadedPixels;
}
bool text_only(const CaptionJob& job) { return job.options.ablation == AblationKind::kTextOnly; }

/// Leaves the text of an item alone.
void remove_media(Item& item) {
  item.media.clear();
  if (item.messages.empty()) return;
  Json messages = Json::parse(item.messages);
  for (Json& message : messages) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_array())
      continue;
    Json text = Json::array();
    for (const Json& part : message["content"])
      if (part.is_object() && part.value("type", "") == "text") text.push_back(part);
    message["content"] = std::move(text);
  }
  item.messages = messages.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Ablation::Ablation(const CaptionJob& job, std::int64_t most_bytes)
    : job_(job), most_bytes_(most_bytes) {}

Ablation::~Ablation() = default;

std::vector<WrapCommunicator> Ablation::communicators() const {
  if (!null_collectives(job_)) return {};
  return {[](Communicator& inner) { return without_wire(inner); }};
}

PixelSource& Ablation::pixels(PixelSource& inner) {
  if (!preloads_pixels(job_)) return inner;
  preloaded_ = std::make_unique<PreloadedPixels>(inner);
  return *preloaded_;
}

void Ablation::decode_ahead() {
  if (preloaded_ == nullptr) return;
  // A prefetcher of its own: what the job's one reports is the run's alone.
  Prefetcher loader(job_.items, job_.model.processor, job_.model.image, 1, job_.tables.get(),
                    job_.isolated.get());
  preloaded_->load(loader, job_.items, most_bytes_);
}

RequestQueue::Make Ablation::requests(RequestQueue::Make inner) const {
  if (!preloads_pixels(job_)) return inner;
  using Prepared = std::vector<Result<PreparedRequest>>;
  auto prepared = std::make_shared<Prepared>();
  for (std::size_t item = 0; item < job_.items.size(); ++item) {
    prepared->push_back(inner(item));
    // Their pixels are decoded already.
    if (prepared->back().ok()) prepared->back().value().files.clear();
  }
  return [prepared](std::size_t item) { return std::move((*prepared)[item]); };
}

ItemReader Ablation::items(ItemReader inner) const {
  if (!text_only(job_)) return inner;
  return [inner = std::move(inner)](std::size_t index) {
    Item item = inner(index);
    remove_media(item);
    return item;
  };
}

RecordWriter::Format Ablation::format(RecordWriter::Format inner) const {
  if (!null_collectives(job_) && !text_only(job_)) return inner;
  return [inner = std::move(inner)](const Record& record) {
    Record marked = record;
    marked.finish_reason = "ablation";
    return inner(marked);
  };
}

}  // namespace retinue::runtime
