#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "api.h"
#include "failure.h"
#include "leadsman_backend.h"

namespace leadsman_tensorflow {

/// Something of TensorFlow's with its Delete function.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

/// libtensorflow_cc. Found at start, loaded with the first model: it is 850 MB, and a server
/// without a TensorFlow model should not pay for it. Thread-safe.
class Runtime {
 public:
  /// Throws Failure: UNAVAILABLE naming the package and every place that was looked at.
  Runtime(const leadsman_host* host, std::span<const leadsman_option> options);

  const std::string& version() const { return version_; }
  const leadsman_host* host() const { return host_; }
  /// Loads the library at the first call. Throws Failure.
  const Api& Load();

 private:
  const leadsman_host* host_;
  std::string file_;
  std::string version_;
  std::mutex mutex_;     ///< guards loading
  bool loaded_ = false;  ///< guarded by mutex_
  Api api_{};            ///< written once, under mutex_; read after Load()
};

/// LEADSMAN_INVALID for what the ABI has no name for.
leadsman_dtype FromTensorFlow(int32_t type);
TF_DataType ToTensorFlow(leadsman_dtype type);
size_t ElementSize(leadsman_dtype type);

/// A TF_Status that becomes a Failure.
class Status {
 public:
  explicit Status(const Api& api) : api_(api), status_(api.new_status(), api.delete_status) {}
  TF_Status* get() { return status_.get(); }
  bool ok() const { return api_.get_code(status_.get()) == 0; }
  int code() const { return api_.get_code(status_.get()); }
  std::string text() const { return api_.message(status_.get()); }

 private:
  const Api& api_;
  Owned<TF_Status> status_;
};

}  // namespace leadsman_tensorflow
