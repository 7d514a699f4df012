#include "runtime/engine/feature_cache.h"

#include "parallel/base/check.h"

#include <algorithm>

namespace retinue::runtime {

std::int64_t FeatureRows::used() const {
  std::int64_t rows = 0;
  for (const Range& range : used_) rows += range.count;
  return rows;
}

std::int64_t FeatureRows::allocate(std::int64_t count) {
  std::int64_t at = 0;
  auto next = used_.begin();
  for (; next != used_.end() && next->first - at < count; ++next) at = next->first + next->count;
  if (next == used_.end() && rows_ - at < count) return -1;
  used_.insert(next, {at, count});
  return at;
}

void FeatureRows::release(std::int64_t first, std::int64_t count) {
  const auto found = std::find_if(used_.begin(), used_.end(), [&](const Range& r) {
    return r.first == first && r.count == count;
  });
  check(found != used_.end(), "rows are released as they were taken");
  used_.erase(found);
}

Feature& FeatureCache::use(const RequestImage& image, std::int64_t visual_tokens) {
  const bool shares = share_ && image.content != ContentKey{};
  const auto same = std::ranges::find_if(features_, [&](const Feature& feature) {
    return feature.grid == image.grid &&
           (feature.key == image.key || (shares && feature.content == image.content));
  });
  if (same != features_.end()) {
    ++same->users;
    return *same;
  }
  Feature feature;
  feature.key = image.key, feature.content = image.content, feature.grid = image.grid;
  feature.visual_tokens = visual_tokens;
  feature.users = 1;
  return features_.emplace_back(feature);
}

void FeatureCache::erase(std::list<Feature>::iterator at) {
  if (at->first_row >= 0) rows_.release(at->first_row, at->visual_tokens);
  features_.erase(at);
}

std::list<Feature>::iterator FeatureCache::take_rows(std::list<Feature>::iterator at) {
  const auto next = std::next(at);
  if (at->users == 0) {
    erase(at);
    return next;
  }
  rows_.release(at->first_row, at->visual_tokens);
  at->first_row = -1;
  // Encoding consumes the pixels; a feature that was not encoded still has them.
  if (at->state >= Feature::State::kEncoding)
    at->state = Feature::State::kAwaited, at->assigned = false;
  return next;
}

void FeatureCache::tidy() {
  if (std::ranges::any_of(features_, [](const Feature& feature) { return feature.pins > 0; }))
    return;
  for (auto at = features_.begin(); at != features_.end();)
    at = at->first_row >= 0 ? take_rows(at) : std::next(at);
}

void FeatureCache::release(Feature& feature, const std::function<void(Feature&)>& gone) {
  check(feature.users > 0, "a feature is released by one of its users");
  feature.last_used = ++clock_;
  if (--feature.users > 0) return;
  // Its pixels are on their way: a second request for the same key would be ambiguous.
  if (feature.state == Feature::State::kAwaited && feature.assigned) return;
  if (share_ && feature.state >= Feature::State::kEncoding && feature.content != ContentKey{})
    return;
  gone(feature);
  erase(std::ranges::find_if(features_, [&](const Feature& f) { return &f == &feature; }));
}

bool FeatureCache::place(Feature& feature) {
  while ((feature.first_row = rows_.allocate(feature.visual_tokens)) < 0) {
    auto oldest = features_.end();
    for (auto at = features_.begin(); at != features_.end(); ++at)
      if (at->pins == 0 && at->first_row >= 0 &&
          (oldest == features_.end() || at->last_used < oldest->last_used))
        oldest = at;
    if (oldest == features_.end()) return false;
    take_rows(oldest);
  }
  return true;
}

void FeatureCache::discard(const ContentKey& content) {
  const auto found = std::ranges::find_if(features_, [&](const Feature& feature) {
    return feature.users == 0 && feature.first_row >= 0 && feature.content == content;
  });
  if (content == ContentKey{} || found == features_.end()) return;
  erase(found);
}

void FeatureCache::encoded(std::int64_t batches) {
  for (Feature& feature : features_)
    if (feature.state == Feature::State::kEncoding && feature.batch <= batches)
      feature.state = Feature::State::kEncoded;
}

std::int64_t FeatureCache::ready() const {
  return std::ranges::count(features_, Feature::State::kReady, &Feature::state);
}

void FeatureCache::check_accounts(std::span<const Feature* const> used,
                                  std::span<const Feature* const> pinned) const {
  std::int64_t rows = 0;
  for (const Feature& feature : features_) {
    check(std::ranges::count(used, &feature) == feature.users &&
              std::ranges::count(pinned, &feature) == feature.pins,
          "a feature has as many users and pins as sequences name it");
    if (feature.first_row >= 0) rows += feature.visual_tokens;
  }
  check(rows == rows_.used(), "every row that is taken belongs to a feature");
}

Feature* FeatureCache::find(std::uint64_t key) {
  const auto found =
      std::ranges::find_if(features_, [&](const Feature& feature) { return feature.key == key; });
  return found == features_.end() ? nullptr : &*found;
}

}  // namespace retinue::runtime
