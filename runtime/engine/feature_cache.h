#pragma once

#include "layers/spec/inputs.h"
#include "runtime/engine/kv_cache.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Contiguous rows of the feature buffer, first fit.
class FeatureRows {
 public:
  explicit FeatureRows(std::int64_t rows) : rows_(rows) {}
  /// First row, or -1 when no gap is large enough.
  std::int64_t allocate(std::int64_t count);
  void release(std::int64_t first, std::int64_t count);
  [[nodiscard]] std::int64_t used() const;

 private:
  struct Range {
    std::int64_t first, count;
  };
  std::int64_t rows_;
  std::vector<Range> used_;  ///< in order
};

/// An image or video that sequences use: on its way as pixels, being encoded, or encoded, with rows
/// of the feature buffer.
struct Feature {
  enum class State : std::uint8_t { kAwaited, kReady, kEncoding, kEncoded };

  std::uint64_t key = 0;  ///< what its pixels are asked for by
  ContentKey content{};
  layers::GridThw grid;
  std::int64_t visual_tokens = 0;
  State state = State::kAwaited;
  std::int64_t batch = 0;       ///< of the engine's encodes, the last that it was in
  bool assigned = false;        ///< a rank has been told to bring its pixels
  std::int64_t first_row = -1;  ///< of the feature buffer, once encoded
  int users = 0;                ///< sequences that show it …
  int pins = 0;                 ///< … and those of them that count on its rows
  std::uint64_t last_used = 0;
};

/// What is encoded once and used by all who show the same pixels. Rows that nobody counts on stay
/// until they are wanted, those that were used longest ago go first; who uses them then needs their
/// pixels again.
class FeatureCache {
 public:
  explicit FeatureCache(std::int64_t rows, bool share) : rows_(rows), share_(share) {}

  /// The feature of an item, for one more user: its own, one of the same content, or a new one.
  Feature& use(const VisualItem& item, std::int64_t visual_tokens);
  /// One user less. Without any, what is encoded stays for others and what is on its way until it
  /// comes; all else goes, and `gone` hears of it first.
  void release(Feature& feature, const std::function<void(Feature&)>& gone);
  /// Gives it rows, taking them from features without pins where need be. False: not now.
  bool place(Feature& feature);
  /// Takes all rows back when nobody counts on any: where what is left over lies in the way of what
  /// would fit.
  void tidy();
  /// Forgets an encoded feature that nobody uses. Nothing where there is none.
  void discard(const ContentKey& content);
  [[nodiscard]] Feature* find(std::uint64_t key);
  /// Those of the first so many batches are no more on their way.
  void encoded(std::int64_t batches);
  /// Features whose pixels are there and wait to be encoded.
  [[nodiscard]] std::int64_t ready() const;
  /// Throws: BugError unless every feature has as many users and pins as the lists name it, and
  /// all rows that are taken are some feature's.
  void check_accounts(std::span<const Feature* const> used,
                      std::span<const Feature* const> pinned) const;

 private:
  void erase(std::list<Feature>::iterator at);
  /// Erases it where nobody uses it; returns what comes after it.
  std::list<Feature>::iterator take_rows(std::list<Feature>::iterator at);

  FeatureRows rows_;
  bool share_;
  std::list<Feature> features_;
  std::uint64_t clock_ = 0;
};

}  // namespace retinue::runtime
