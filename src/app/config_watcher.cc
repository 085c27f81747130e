#include "app/config_watcher.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/config_node.h"
#include "base/fs.h"

namespace leadsman {
namespace {

constexpr int kMostDoublings = 6;

}  // namespace

ConfigWatcher::ConfigWatcher(std::string path)
    : path_(std::move(path)), in_force_(Look()), seen_(in_force_) {}

std::optional<uint64_t> ConfigWatcher::Look() const {
  Result<std::string> text = ReadFile(path_, ConfigLimits().max_bytes);
  if (!text.ok()) return std::nullopt;
  return std::hash<std::string>()(*text);
}

bool ConfigWatcher::Poll() {
  std::optional<uint64_t> now = Look();
  const bool settled = now == seen_;
  seen_ = now;
  if (!now || !settled || now == in_force_) return false;
  if (now == tried_ && looks_to_skip_-- > 0) return false;
  in_force_ = now;
  return true;
}

void ConfigWatcher::TryAgain() {
  tries_ = in_force_ == tried_ ? tries_ + 1 : 0;
  tried_ = std::exchange(in_force_, std::nullopt);
  looks_to_skip_ = 1 << std::min(tries_, kMostDoublings);
}

}  // namespace leadsman
