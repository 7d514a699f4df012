#include "runtime/text/tokenizer.h"

#include "parallel/base/check.h"
#include "parallel/base/utf8.h"
#include "runtime/text/bpe.h"
#include "runtime/text/byte_alphabet.h"
#include "runtime/text/pretokenizer.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <unordered_map>

namespace retinue::runtime {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

// Bounds the tables that a malformed file can ask for; Qwen's largest id is 151668.
constexpr std::int64_t kMaxId = 1 << 20;
constexpr std::size_t kMaxMerges = 1 << 22;

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;
};

}  // namespace

struct Tokenizer::Tables {
  std::vector<std::string> tokens;  // by id, file form
  std::vector<bool> special;
  std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> ids;
  std::array<std::int32_t, 256> byte_ids{};
  BpeMerges merges{0};
  std::array<std::vector<AddedToken>, 256> added;  // by first byte, longest first

  void put(std::int32_t id, std::string_view token) {
    const auto i = static_cast<std::size_t>(id);
    if (tokens.size() <= i) {
      tokens.resize(i + 1);
      special.resize(i + 1);
    }
    tokens[i] = token;
    ids.emplace(token, id);
  }

  /// The longest added token at `at`, or none.
  [[nodiscard]] const AddedToken* added_at(std::string_view text, std::size_t at,
                                           bool special_allowed) const {
    for (const AddedToken& token : added[static_cast<std::uint8_t>(text[at])]) {
      if (token.special && !special_allowed) continue;
      if (text.substr(at, token.content.size()) == token.content) return &token;
    }
    return nullptr;
  }

  /// Text between added tokens.
  void encode_segment(std::string_view raw, std::vector<std::int32_t>& out) const {
    const std::string text = normalize_nfc(raw);
    std::vector<std::int32_t> symbols;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = next_piece_end(text, at);
      symbols.clear();
      for (; at < end; ++at) symbols.push_back(byte_ids[static_cast<std::uint8_t>(text[at])]);
      merges.apply(symbols);
      out.insert(out.end(), symbols.begin(), symbols.end());
    }
  }

  template <class Allowed>
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, Allowed allowed) const {
    std::vector<std::int32_t> out;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const AddedToken* token = nullptr;
      if (!added[static_cast<std::uint8_t>(text[at])].empty()) {
        token = added_at(text, at, allowed(at));
      }
      if (token == nullptr) {
        ++at;
        continue;
      }
      encode_segment(text.substr(begin, at - begin), out);
      out.push_back(token->id);
      at += token->content.size();
      begin = at;
    }
    encode_segment(text.substr(begin), out);
    return out;
  }
};

namespace {

/// Reads one tokenizer.json and says what does not fit.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  [[noreturn]] void fail(std::string_view key, std::string_view what) const {
    throw UsageError(fmt::format(
        "[tokenizer] {}: {}: {}. Use the tokenizer.json of a Qwen checkpoint.", name_, key, what));
  }

  object object_at(element parent, const char* key) const {
    object value;
    if (parent[key].get(value)) fail(key, "wanted an object");
    return value;
  }

  /// The value under `key`, null where the key is absent.
  static bool absent(object parent, const char* key) {
    element value;
    return parent[key].get(value) != simdjson::SUCCESS || value.is_null();
  }

  void want_string(object parent, const char* key, std::string_view wanted,
                   std::string_view where) const {
    std::string_view value;
    if (parent[key].get(value)) fail(fmt::format("{}.{}", where, key), "wanted a string");
    if (value != wanted) {
      fail(fmt::format("{}.{}", where, key),
           fmt::format("wanted \"{}\", got \"{}\"", wanted, value));
    }
  }

  void want_false(object parent, const char* key, std::string_view where) const {
    if (absent(parent, key)) return;
    bool value = true;
    if (parent[key].get(value) || value) {
      fail(fmt::format("{}.{}", where, key), "wanted false, which is all that is supported");
    }
  }

  void want_empty(object parent, const char* key, std::string_view where) const {
    if (absent(parent, key)) return;
    std::string_view value;
    if (parent[key].get(value) || !value.empty()) {
      fail(fmt::format("{}.{}", where, key), "wanted null or an empty string");
    }
  }

  void check_pipeline(element root) const {
    want_string(object_at(root, "normalizer"), "type", "NFC", "normalizer");
    want_string(object_at(root, "decoder"), "type", "ByteLevel", "decoder");
    element post;
    if (!root["post_processor"].get(post) && !post.is_null()) {
      want_string(object_at(root, "post_processor"), "type", "ByteLevel", "post_processor");
    }
    const object pre = object_at(root, "pre_tokenizer");
    want_string(pre, "type", "Sequence", "pre_tokenizer");
    simdjson::dom::array steps;
    if (pre["pretokenizers"].get(steps) || steps.size() != 2) {
      fail("pre_tokenizer.pretokenizers", "wanted a Split and a ByteLevel");
    }
    object split, bytes;
    if (steps.at(0).get(split) || steps.at(1).get(bytes)) {
      fail("pre_tokenizer.pretokenizers", "wanted objects");
    }
    const std::string_view where = "pre_tokenizer.pretokenizers";
    want_string(split, "type", "Split", where);
    want_string(split, "behavior", "Isolated", where);
    want_false(split, "invert", where);
    object pattern;
    if (split["pattern"].get(pattern)) fail("pre_tokenizer…pattern", "wanted an object");
    want_string(pattern, "Regex", kQwenSplitPattern, "pre_tokenizer…pattern");
    want_string(bytes, "type", "ByteLevel", where);
    want_false(bytes, "add_prefix_space", where);
    bool use_regex = true;  // the reference's default
    if (bytes["use_regex"].get(use_regex) || use_regex) {
      fail("pre_tokenizer…use_regex", "wanted false: the Split before it cuts the text");
    }
  }

  object check_model(element root) const {
    const object model = object_at(root, "model");
    want_string(model, "type", "BPE", "model");
    want_false(model, "byte_fallback", "model");
    want_false(model, "ignore_merges", "model");
    want_empty(model, "continuing_subword_prefix", "model");
    want_empty(model, "end_of_word_suffix", "model");
    double dropout = 0.0;
    if (!absent(model, "dropout") && (model["dropout"].get(dropout) || dropout != 0.0)) {
      fail("model.dropout", "wanted null");
    }
    return model;
  }

  std::int32_t id_of(element value, std::string_view key) const {
    std::int64_t id = 0;
    if (value.get(id) || id < 0 || id >= kMaxId) {
      fail(key, fmt::format("wanted an id from 0 to {}", kMaxId - 1));
    }
    return static_cast<std::int32_t>(id);
  }

  static bool flag(object parent, const char* key) {
    bool value = false;
    return !parent[key].get(value) && value;
  }

 private:
  std::string name_;
};

/// "a b" or ["a", "b"].
bool split_merge(element merge, std::string_view& left, std::string_view& right) {
  simdjson::dom::array pair;
  if (!merge.get(pair)) {
    return pair.size() == 2 && !pair.at(0).get(left) && !pair.at(1).get(right);
  }
  std::string_view line;
  if (merge.get(line)) return false;
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return false;
  }
  left = line.substr(0, space);
  right = line.substr(space + 1);
  return true;
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

Tokenizer Tokenizer::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw UsageError(
        fmt::format("[tokenizer] {}: cannot be opened. Is this a model folder?", path));
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return parse(text, path);
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name) {
  const Reader reader(name);
  simdjson::dom::parser parser;
  element root;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(root)) {
    reader.fail("file", fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  reader.check_pipeline(root);
  const object model = reader.check_model(root);
  auto tables = std::make_shared<Tables>();

  object vocab;
  if (model["vocab"].get(vocab)) reader.fail("model.vocab", "wanted an object");
  for (const auto [token, value] : vocab) {
    const std::int32_t id = reader.id_of(value, "model.vocab");
    const auto i = static_cast<std::size_t>(id);
    if (token.empty() || tables->ids.contains(token) ||
        (i < tables->tokens.size() && !tables->tokens[i].empty())) {
      reader.fail("model.vocab", fmt::format("\"{}\" (id {}) is empty or there twice", token, id));
    }
    tables->put(id, token);
  }
  const auto symbols = byte_symbols();
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string symbol;
    append_utf8(symbol, symbols[byte]);
    const auto found = tables->ids.find(symbol);
    if (found == tables->ids.end()) {
      reader.fail("model.vocab", fmt::format("no entry for byte {:#04x}", byte));
    }
    tables->byte_ids[byte] = found->second;
  }

  simdjson::dom::array merges;
  if (model["merges"].get(merges) || merges.size() > kMaxMerges) {
    reader.fail("model.merges", fmt::format("wanted an array of at most {}", kMaxMerges));
  }
  tables->merges = BpeMerges(merges.size());
  std::uint32_t rank = 0;
  std::string whole;
  for (const element merge : merges) {
    std::string_view left, right;
    if (!split_merge(merge, left, right)) {
      reader.fail("model.merges", fmt::format("entry {} is no pair of tokens", rank));
    }
    whole.assign(left).append(right);
    const auto l = tables->ids.find(left), r = tables->ids.find(right), w = tables->ids.find(whole);
    if (l == tables->ids.end() || r == tables->ids.end() || w == tables->ids.end()) {
      reader.fail("model.merges", fmt::format("entry {}, \"{}\" + \"{}\", is not in the vocabulary",
                                              rank, left, right));
    }
    tables->merges.add(l->second, r->second, rank++, w->second);
  }

  element added_list;
  simdjson::dom::array added;
  if (!root["added_tokens"].get(added_list) && !added_list.is_null() && added_list.get(added)) {
    reader.fail("added_tokens", "wanted an array");
  }
  if (root["added_tokens"].get(added) == simdjson::SUCCESS) {
    for (const element entry : added) {
      object token;
      std::string_view content;
      element id_value;
      if (entry.get(token) || token["content"].get(content) || content.empty() ||
          token["id"].get(id_value)) {
        reader.fail("added_tokens", "wanted objects with content and id");
      }
      for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
        reader.want_false(token, key, "added_tokens");
      }
      const std::int32_t id = reader.id_of(id_value, "added_tokens.id");
      const auto i = static_cast<std::size_t>(id);
      const auto known = tables->ids.find(content);
      const bool taken = i < tables->tokens.size() && !tables->tokens[i].empty();
      if ((known != tables->ids.end() && known->second != id) ||
          (taken && tables->tokens[i] != content)) {
        reader.fail("added_tokens",
                    fmt::format("\"{}\" and id {} are not each other's", content, id));
      }
      tables->put(id, content);
      tables->special[i] = Reader::flag(token, "special");
      tables->added[static_cast<std::uint8_t>(content[0])].push_back(
          {std::string(content), id, tables->special[i]});
    }
  }
  for (auto& list : tables->added) {
    std::stable_sort(list.begin(), list.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.content.size() > b.content.size();
    });
  }
  return Tokenizer(std::move(tables));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialText rule) const {
  const auto allowed = [&](std::size_t) { return rule == SpecialText::kTokens; };
  if (is_well_formed_utf8(text)) return tables_->encode(text, allowed);
  return tables_->encode(replace_malformed_utf8(text), allowed);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text,
                                            std::span<const std::size_t> plain_at) const {
  return tables_->encode(text, [&](std::size_t at) {
    return !std::binary_search(plain_at.begin(), plain_at.end(), at);
  });
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  const auto found = tables_->ids.find(token);
  if (found == tables_->ids.end()) return std::nullopt;
  return found->second;
}

std::string_view Tokenizer::id_to_token(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return tables_->tokens[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(tables_->tokens.size());
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && tables_->special[static_cast<std::size_t>(id)];
}

std::vector<std::string> Tokenizer::special_tokens() const {
  std::vector<std::string> out;
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    if (is_special(id)) out.emplace_back(id_to_token(id));
  }
  return out;
}

std::vector<std::string> Tokenizer::token_bytes() const {
  std::vector<std::string> out;
  out.reserve(tables_->tokens.size());
  for (const std::string& token : tables_->tokens) out.push_back(bytes_of_token(token));
  return out;
}

std::vector<bool> Tokenizer::special_flags() const { return tables_->special; }

}  // namespace retinue::runtime
