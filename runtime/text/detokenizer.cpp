#include "runtime/text/detokenizer.h"

#include "parallel/base/check.h"
#include "parallel/base/utf8.h"

#include <utility>

namespace retinue::runtime {

Detokenizer::Detokenizer(std::vector<std::string> token_bytes, std::vector<bool> special)
    : table_(std::make_shared<Table>(Table{std::move(token_bytes), std::move(special), {}})) {
  check(table_->bytes.size() == table_->special.size(), "one flag per token");
}

const std::string& Detokenizer::bytes(std::int32_t id, bool skip_special_tokens) const {
  const auto i = static_cast<std::size_t>(id);
  if (id < 0 || i >= table_->bytes.size()) return table_->none;
  if (skip_special_tokens && table_->special[i]) return table_->none;
  return table_->bytes[i];
}

std::string Detokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::string joined;
  for (const std::int32_t id : ids) joined += bytes(id, skip_special_tokens);
  return is_well_formed_utf8(joined) ? joined : replace_malformed_utf8(joined);
}

DetokenizerStream::DetokenizerStream(Detokenizer detokenizer, bool skip_special_tokens)
    : detokenizer_(std::move(detokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::string DetokenizerStream::push(std::int32_t id) {
  pending_ += detokenizer_.bytes(id, skip_special_tokens_);
  const std::size_t ready = pending_.size() - incomplete_utf8_tail(pending_);
  std::string out = replace_malformed_utf8(std::string_view(pending_).substr(0, ready));
  pending_.erase(0, ready);
  return out;
}

std::string DetokenizerStream::finish() {
  std::string out = replace_malformed_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace retinue::runtime
