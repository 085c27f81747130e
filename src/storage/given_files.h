#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace leadsman {

/// A model's folder that is made of what a client has sent: a private one of this process, which goes with the last who holds
/// this. Thread-safe.
class GivenFiles {
 public:
  /// Makes an empty folder in `root`, which is made where it is not there; the files, by their paths in it ("1/model.onnx"),
  /// are kept in memory until Write(). Their paths must have been checked: they are not looked at here.
  static Result<std::shared_ptr<GivenFiles>> Create(const std::string& root,
                                                    std::map<std::string, std::string> files);
  ~GivenFiles();
  GivenFiles(const GivenFiles&) = delete;
  GivenFiles& operator=(const GivenFiles&) = delete;

  const std::string& folder() const { return folder_; }
  /// Puts the files there, if that has not been done yet. Blocks for the disk.
  Status Write();

 private:
  GivenFiles(std::string folder, std::map<std::string, std::string> files);

  const std::string folder_;
  Mutex mutex_;
  std::map<std::string, std::string> files_ GUARDED_BY(mutex_);  ///< those to be written yet
};

}  // namespace leadsman
