#include "storage/triton_config_file.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"

namespace leadsman {

uint64_t TritonConfigFile::StampNamed(const Folder& folder, uint64_t stamp) const {
  for (const std::string& path : named_) stamp = Rng::Mix(stamp ^ folder.stamp(path).value_or(0));
  return stamp | 1;  // 0 is that of no file
}

void TritonConfigFile::Look(const Folder& folder) {
  const bool given = !given_.empty();
  Result<uint64_t> own = given ? std::hash<std::string>()(given_) : folder.stamp(kTritonConfigName);
  if (!own.ok() && own.status().code() == StatusCode::kNotFound) return Set(nullptr, 0);
  if (own.ok() && StampNamed(folder, *own) == stamp()) return;
  Result<std::string> text = given      ? Result<std::string>(given_)
                             : own.ok() ? folder.read(kTritonConfigName)
                                        : own.status();
  // What could not be read is read again at the next look.
  if (!text.ok())
    return Set(
        std::make_shared<const Result<TritonConfig>>(Annotate(text.status(), kTritonConfigName)),
        0);
  named_.clear();
  auto read = [&](const std::string& path) {
    named_.push_back(path);
    return folder.read(path);
  };
  Result<TritonConfig> config =
      given ? ParseTritonConfigJson(*text, read) : ParseTritonConfig(*text, read);
  if (given && !config.ok()) config = Annotate(config.status(), "the configuration of the load");
  Set(std::make_shared<const Result<TritonConfig>>(std::move(config)), StampNamed(folder, *own));
}

bool TritonConfigFile::Names(std::string_view name) const {
  return std::any_of(named_.begin(), named_.end(), [name](const std::string& path) {
    return path.starts_with(name) && (path.size() == name.size() || path[name.size()] == '/');
  });
}

void TritonConfigFile::Set(TritonConfigFound found, uint64_t stamp) {
  MutexLock lock(mutex_);
  stamp_ = stamp;
  // The same trouble as at the last look is no news.
  bool known = found && found_ && !found->ok() && !found_->ok() &&
               found->status().message() == found_->status().message();
  if (!known) found_ = std::move(found);
}

TritonConfigFound TritonConfigFile::found() const {
  MutexLock lock(mutex_);
  return found_;
}

uint64_t TritonConfigFile::stamp() const {
  MutexLock lock(mutex_);
  return stamp_;
}

}  // namespace leadsman
