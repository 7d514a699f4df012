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

/// An image or video that sequences show, from the request for its pixels to its encoded rows in
/// the feature buffer.
struct Feature {
  enum class State : std::uint8_t { kAwaited, kReady, kEncoding, kEncoded };

  std::uint64_t key = 0;  ///< names its pixels to the PixelSource
  ContentKey content{};
  layers::GridThw grid;
  std::int64_t visual_tokens = 0;
  State state = State::kAwaited;
  std::int64_t batch = 0;       ///< number of the batch that encoded it last
  bool assigned = false;        ///< a rank fetches its pixels
  std::int64_t first_row = -1;  ///< of the feature buffer, once encoded
  int users = 0;                ///< sequences that show it
  int pins = 0;                 ///< users that have reserved its rows
  std::uint64_t last_used = 0;
};

/// Encodes each content once for all sequences that show it. Unpinned rows stay until another
/// feature needs their place; the least recently used go first. A user that loses them needs the
/// pixels again.
class FeatureCache {
 public:
  explicit FeatureCache(std::int64_t rows, bool share) : rows_(rows), share_(share) {}

  /// Adds a user to the feature of this image: its own, one of equal content, or a new one.
  Feature& use(const RequestImage& image, std::int64_t visual_tokens);
  /// Removes a user. A feature without users stays while its pixels are on their way, and once it
  /// is encoded; otherwise it goes, after a call of `gone`.
  void release(Feature& feature, const std::function<void(Feature&)>& gone);
  /// Gives it rows, if need be those of unpinned features. False: not now.
  bool place(Feature& feature);
  /// Takes all rows back when none is pinned: fragments would block a feature that fits otherwise.
  void tidy();
  /// Drops the encoded feature of this content if it has no users.
  void discard(const ContentKey& content);
  [[nodiscard]] Feature* find(std::uint64_t key);
  /// The first `batches` batches are encoded.
  void encoded(std::int64_t batches);
  /// Features whose pixels have arrived and are not encoded yet.
  [[nodiscard]] std::int64_t ready() const;
  /// Throws: BugError unless every feature has as many users and pins as the lists name it, and
  /// every row that is taken belongs to a feature.
  void check_accounts(std::span<const Feature* const> used,
                      std::span<const Feature* const> pinned) const;

 private:
  void erase(std::list<Feature>::iterator at);
  /// Takes its rows back, and erases it if it has no users. Returns the next feature.
  std::list<Feature>::iterator take_rows(std::list<Feature>::iterator at);

  FeatureRows rows_;
  bool share_;
  std::list<Feature> features_;
  std::uint64_t clock_ = 0;
};

}  // namespace retinue::runtime
