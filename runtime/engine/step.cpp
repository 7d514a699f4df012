#include "runtime/engine/step.h"

#include "parallel/base/check.h"

namespace retinue::runtime {

namespace {

/// Writes lists, each after its length; a 64-bit number takes two words.
class Writer {
 public:
  explicit Writer(std::vector<std::int32_t>& words) : words_(words) {}
  void word(std::int64_t value) { words_.push_back(static_cast<std::int32_t>(value)); }
  void key(std::uint64_t value) {
    word(static_cast<std::int32_t>(value & 0xFFFFFFFFU));
    word(static_cast<std::int32_t>(value >> 32));
  }
  void list(const std::vector<std::int32_t>& values) {
    word(static_cast<std::int64_t>(values.size()));
    words_.insert(words_.end(), values.begin(), values.end());
  }

 private:
  std::vector<std::int32_t>& words_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::int32_t> words) : words_(words) {}
  std::int32_t word() {
    check(at_ < words_.size(), "a step plan ends early");
    return words_[at_++];
  }
  std::uint64_t key() {
    const auto low = static_cast<std::uint32_t>(word());
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(word())) << 32 | low;
  }
  void list(std::vector<std::int32_t>& values) {
    const auto count = static_cast<std::size_t>(word());
    check(count <= words_.size() - at_, "a step plan ends early");
    values.assign(words_.begin() + static_cast<std::ptrdiff_t>(at_),
                  words_.begin() + static_cast<std::ptrdiff_t>(at_ + count));
    at_ += count;
  }

 private:
  std::span<const std::int32_t> words_;
  std::size_t at_ = 0;
};

}  // namespace

void StepPlan::clear() {
  stop = false;
  prefetch.clear(), drop.clear(), encode.clear(), draws.clear();
  for (auto* list : {&zero_blocks, &ids, &positions, &slot_mapping, &block_table, &cu_seqlens,
                     &seq_lens, &visual_sources, &visual_rows, &logit_rows})
    list->clear();
  joined_encodes = max_blocks = argmax_rows = drawn_rows = whole_rows = 0;
}

void StepPlan::serialize(std::vector<std::int32_t>& words) const {
  words.clear();
  Writer out(words);
  out.word(stop ? 1 : 0);
  out.word(static_cast<std::int64_t>(prefetch.size()));
  for (const OwnedImage& image : prefetch) out.key(image.key), out.word(image.owner);
  out.word(static_cast<std::int64_t>(drop.size()));
  for (const std::uint64_t key : drop) out.key(key);
  out.word(static_cast<std::int64_t>(encode.size()));
  for (const ImageToEncode& image : encode) {
    out.key(image.key), out.word(image.owner), out.word(image.first_row);
    out.word(image.grid.frames), out.word(image.grid.rows), out.word(image.grid.columns);
  }
  for (const auto* list : {&zero_blocks, &ids, &positions, &slot_mapping, &block_table, &cu_seqlens,
                           &seq_lens, &visual_sources, &visual_rows, &logit_rows})
    out.list(*list);
  out.word(joined_encodes), out.word(max_blocks);
  out.word(argmax_rows), out.word(drawn_rows), out.word(whole_rows);
}

void StepPlan::parse(std::span<const std::int32_t> words) {
  clear();
  Reader in(words);
  stop = in.word() != 0;
  for (std::int32_t n = in.word(); n > 0; --n) {
    OwnedImage image;
    image.key = in.key(), image.owner = in.word();
    prefetch.push_back(image);
  }
  for (std::int32_t n = in.word(); n > 0; --n) drop.push_back(in.key());
  for (std::int32_t n = in.word(); n > 0; --n) {
    ImageToEncode image;
    image.key = in.key(), image.owner = in.word(), image.first_row = in.word();
    image.grid.frames = in.word(), image.grid.rows = in.word(), image.grid.columns = in.word();
    encode.push_back(image);
  }
  for (auto* list : {&zero_blocks, &ids, &positions, &slot_mapping, &block_table, &cu_seqlens,
                     &seq_lens, &visual_sources, &visual_rows, &logit_rows})
    in.list(*list);
  joined_encodes = in.word(), max_blocks = in.word();
  argmax_rows = in.word(), drawn_rows = in.word(), whole_rows = in.word();
}

}  // namespace retinue::runtime
