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
    : ConfigWatcher([path = std::move(path)]() -> std::optional<uint64_t> {
        Result<std::string> text = ReadFile(path, ConfigLimits().max_bytes);
        if (!text.ok()) return std::nullopt;
        return std::hash<std::string>()(*text);
      }) {}

ConfigWatcher::ConfigWatcher(std::function<std::optional<uint64_t>()> look)
    : look_(std::move(look)), in_force_(look_()), seen_(in_force_) {}

bool ConfigWatcher::Poll() {
  std::optional<uint64_t> now = look_();
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
