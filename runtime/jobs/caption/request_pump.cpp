#include "runtime/jobs/caption/request_pump.h"

#include "runtime/failure/crash_report.h"
#include "runtime/jobs/replica.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

namespace retinue::runtime {
namespace {

int request_threads(const CaptionJob& job, int local_ranks) {
  return decode_threads(thread_count(job.options.run, local_ranks));
}

}  // namespace

RequestQueue::Make request_maker(const CaptionJob& job, ItemReader items) {
  return [&job, items = std::move(items)](std::size_t item) -> Result<PreparedRequest> {
    const WorkOn work_on(static_cast<std::int64_t>(item));
    try {
      return prepare_request(items(item), item, job.model, job.prompt, job.sampling,
                             job.tables.get(), job.isolated.get());
    } catch (const std::bad_alloc&) {
      return DataError{"read", "no memory for its files"};
    }
  };
}

RequestPump::RequestPump(Parts parts)
    : parts_(std::move(parts)),
      bisection_(plan_bisection(parts_.job.attributed_items, parts_.job.suspect_items,
                                parts_.mesh.data_index(), parts_.mesh.shape().data)),
      left_(parts_.job.open_count),
      requests_(parts_.make, static_cast<std::size_t>(parts_.window),
                request_threads(parts_.job, parts_.session.node_size), bisection_.stops) {
  requests_.add(bisection_.items);
}

void RequestPump::claim_items() {
  if (left_ == 0 || stopped_) return;
  const std::int64_t wanted = items_at_hand(left_, parts_.mesh.shape().data, parts_.window / 2) -
                              parts_.engine.live() - requests_.waiting();
  const auto batch = parts_.link.claim(wanted);
  if (!batch) return;
  left_ = batch->left;
  requests_.add(std::span(batch->items).first(static_cast<std::size_t>(batch->count)));
  if (left_ == 0) requests_.close();
}

void RequestPump::fill() {
  if (drained_) return;
  claim_items();
  if (parts_.engine.live() == 0) requests_.pass();
  while (!stopped_ && parts_.engine.live() < parts_.window) {
    auto entry = requests_.next();
    if (!entry) break;
    submit(std::move(*entry));
  }
  if (!stopped_ && !requests_.exhausted()) return;
  parts_.engine.drain();
  drained_ = true;
}

void RequestPump::stop() {
  stopped_ = true;
  fill();
}

void RequestPump::submit(RequestQueue::Entry entry) {
  if (!entry.prepared.ok()) return parts_.on_failure(entry.item, entry.prepared.error());
  PreparedRequest& prepared = entry.prepared.value();
  const CaptionOptions& options = parts_.job.options;
  Request& request = prepared.request;
  request.top_logprobs = options.top_logprobs;
  request.logprobs = request.logprobs || options.logprobs || request.top_logprobs > 0;
  InFlight in_flight{
      std::move(prepared.headers), std::move(prepared.sha256), nullptr,
      request.top_logprobs,        request.logprobs,           parts_.session.clock.now_s()};
  if (!prepared.stop.empty()) {
    in_flight.text = std::make_shared<OutputText>(parts_.job.model.detokenizer, prepared.stop);
    request.stop = [text = in_flight.text](std::span<const std::int32_t> ids) {
      return text->update(ids);
    };
  }
  for (std::size_t i = 0; i < prepared.files.size(); ++i)
    parts_.prefetcher.keep(media_key(entry.item, i), std::move(prepared.files[i]));
  in_flight_.emplace(entry.item, std::move(in_flight));
  if (const auto refused = parts_.engine.submit(std::move(request)))
    parts_.on_failure(entry.item, *refused);
}

std::optional<InFlight> RequestPump::release(std::size_t item, std::size_t media) {
  for (std::size_t i = 0; i < media; ++i) parts_.prefetcher.forget(media_key(item, i));
  auto node = in_flight_.extract(item);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

}  // namespace retinue::runtime
