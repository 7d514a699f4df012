#include "layers/spec/config_section.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <utility>

namespace retinue::layers {

using nlohmann::json;

ConfigSection::ConfigSection(const json& value, std::string where, std::string name)
    : value_(value), where_(std::move(where)), name_(std::move(name)) {}

void ConfigSection::fail(const std::string& key, const std::string& message) const {
  throw UsageError(
      fmt::format("[config] {}: {}{}{} {}", where_, name_, name_.empty() ? "" : ".", key, message));
}

bool ConfigSection::has(const char* key) const {
  return value_.contains(key) && !value_[key].is_null();
}

const json& ConfigSection::raw(const char* key) const { return value_[key]; }

ConfigSection ConfigSection::object(const char* key) const {
  if (!has(key) || !value_[key].is_object()) fail(key, "is missing or is no object");
  return {value_[key], where_, name_.empty() ? key : name_ + "." + key};
}

std::int64_t ConfigSection::size(const char* key) const {
  if (!has(key)) fail(key, "is missing");
  if (!value_[key].is_number_integer()) fail(key, "is no integer");
  const auto number = value_[key].get<std::int64_t>();
  if (number < 1 || number > (std::int64_t{1} << 40))
    fail(key, fmt::format("is {}, out of range", number));
  return number;
}

std::int64_t ConfigSection::size_or(const char* key, std::int64_t otherwise) const {
  return has(key) ? size(key) : otherwise;
}

std::int64_t ConfigSection::id(const char* key) const {
  if (!has(key) || !value_[key].is_number_integer()) fail(key, "is missing or is no integer");
  return value_[key].get<std::int64_t>();
}

double ConfigSection::number(const char* key) const {
  if (!has(key) || !value_[key].is_number()) fail(key, "is missing or is no number");
  return value_[key].get<double>();
}

std::string ConfigSection::text_or(const char* key, const char* otherwise) const {
  if (!has(key)) return otherwise;
  if (!value_[key].is_string()) fail(key, "is no string");
  return value_[key].get<std::string>();
}

std::vector<std::int64_t> ConfigSection::sizes(const char* key) const {
  if (!has(key) || !value_[key].is_array()) fail(key, "is missing or is no list");
  std::vector<std::int64_t> list;
  for (const json& item : value_[key]) {
    if (!item.is_number_integer() || item.get<std::int64_t>() < 0)
      fail(key, "is no list of counts");
    list.push_back(item.get<std::int64_t>());
  }
  return list;
}

}  // namespace retinue::layers
