#include "runtime/text/tokenizer.h"

#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/utf8.h"
#include "runtime/text/bpe.h"
#include "runtime/text/byte_alphabet.h"
#include "runtime/text/pretokenizer.h"
#include "runtime/text/tokenizer_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

namespace retinue::runtime {
namespace {

using detail::refuse_tokenizer;
using detail::TokenizerFile;
using AddedToken = TokenizerFile::AddedToken;

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
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

  [[nodiscard]] bool is_taken(std::int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    return i < tokens.size() && !tokens[i].empty();
  }

  void fill_vocab(const TokenizerFile& file, const std::string& name) {
    ids.reserve(file.vocab.size() + file.added.size());
    for (const auto& [token, id] : file.vocab) {
      if (token.empty() || ids.contains(token) || is_taken(id))
        refuse_tokenizer(name, "model.vocab",
                         fmt::format("\"{}\" (id {}) is empty or there twice", token, id));
      put(id, token);
    }
    const auto symbols = byte_symbols();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      std::string symbol;
      append_utf8(symbol, symbols[byte]);
      const auto found = ids.find(symbol);
      if (found == ids.end())
        refuse_tokenizer(name, "model.vocab", fmt::format("no entry for byte {:#04x}", byte));
      byte_ids[byte] = found->second;
    }
  }

  void fill_merges(const TokenizerFile& file, const std::string& name) {
    merges = BpeMerges(file.merges.size());
    std::uint32_t rank = 0;
    for (const auto& [left, right] : file.merges) {
      const auto l = ids.find(left), r = ids.find(right), whole = ids.find(left + right);
      if (l == ids.end() || r == ids.end() || whole == ids.end())
        refuse_tokenizer(
            name, "model.merges",
            fmt::format("entry {}, \"{}\" + \"{}\", is not in the vocabulary", rank, left, right));
      merges.add(l->second, r->second, rank++, whole->second);
    }
  }

  void fill_added(const TokenizerFile& file, const std::string& name) {
    for (const AddedToken& token : file.added) {
      const auto known = ids.find(token.content);
      const auto i = static_cast<std::size_t>(token.id);
      if ((known != ids.end() && known->second != token.id) ||
          (is_taken(token.id) && tokens[i] != token.content))
        refuse_tokenizer(
            name, "added_tokens",
            fmt::format("\"{}\" and id {} are not each other's", token.content, token.id));
      put(token.id, token.content);
      special[i] = token.special;
      added[static_cast<std::uint8_t>(token.content[0])].push_back(token);
    }
    for (auto& list : added)
      std::stable_sort(list.begin(), list.end(), [](const AddedToken& a, const AddedToken& b) {
        return a.content.size() > b.content.size();
      });
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

Tokenizer::Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

Tokenizer Tokenizer::load(const std::string& path) {
  const auto text = read_file(path, "[tokenizer]");
  if (!text)
    throw UsageError(
        fmt::format("[tokenizer] {}: cannot be opened. Is this a model folder?", path));
  return parse(*text, path);
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name) {
  const TokenizerFile file = detail::parse_tokenizer_file(json, name);
  auto tables = std::make_shared<Tables>();
  tables->fill_vocab(file, name);
  tables->fill_merges(file, name);
  tables->fill_added(file, name);
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
