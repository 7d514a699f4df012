#pragma once

// Tested through tests/layers/spec/config_test.cpp.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace retinue::layers {

/// One object of a config.json, for messages that name the key. Keys whose value is null are
/// absent. Borrows the value.
class ConfigSection {
 public:
  /// `where` names the file, `name` is the path of the object in it: "text_config".
  ConfigSection(const nlohmann::json& value, std::string where, std::string name);

  [[noreturn]] void fail(const std::string& key, const std::string& message) const;
  [[nodiscard]] bool has(const char* key) const;
  [[nodiscard]] const nlohmann::json& all() const { return value_; }
  [[nodiscard]] const nlohmann::json& raw(const char* key) const;

  // These throw UsageError where the key is missing or of another type.
  [[nodiscard]] ConfigSection object(const char* key) const;
  [[nodiscard]] std::int64_t size(const char* key) const;
  [[nodiscard]] std::int64_t size_or(const char* key, std::int64_t otherwise) const;
  [[nodiscard]] std::int64_t id(const char* key) const;
  [[nodiscard]] double number(const char* key) const;
  [[nodiscard]] std::string text_or(const char* key, const char* otherwise) const;
  [[nodiscard]] std::vector<std::int64_t> sizes(const char* key) const;

 private:
  const nlohmann::json& value_;
  std::string where_;
  std::string name_;
};

}  // namespace retinue::layers
