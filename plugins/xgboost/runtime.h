#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "failure.h"
#include "leadsman_backend.h"

namespace leadsman_xgboost {

using Booster = void*;
using Matrix = void*;

/// The part of XGBoost's C interface that is used; the same from 1.7 to 3.2.
struct Api {
  void (*version)(int* major, int* minor, int* patch);
  const char* (*get_last_error)();
  int (*register_log_callback)(void (*)(const char*));
  int (*set_global_config)(const char* config);
  int (*booster_create)(const Matrix matrices[], uint64_t count, Booster* out);
  int (*booster_free)(Booster);
  int (*booster_load_model_from_buffer)(Booster, const void* data, uint64_t size);
  int (*booster_set_param)(Booster, const char* name, const char* value);
  int (*booster_get_num_feature)(Booster, uint64_t* out);
  int (*booster_boosted_rounds)(Booster, int* out);
  int (*booster_get_attr)(Booster, const char* key, const char** out, int* success);
  int (*predict_from_dense)(Booster, const char* values, const char* config, Matrix meta,
                            const uint64_t** shape, uint64_t* dimensions, const float** result);
  int (*predict_from_matrix)(Booster, Matrix, const char* config, const uint64_t** shape,
                             uint64_t* dimensions, const float** result);
  int (*matrix_create_from_dense)(const char* values, const char* config, Matrix* out);
  int (*proxy_create)(Matrix* out);  ///< names memory instead of holding it
  int (*matrix_free)(Matrix);
};

/// One libxgboost, loaded. Immutable, thread-safe, never unloaded.
struct Library {
  Api api{};
  std::string version;
  bool reads_binary = false;  ///< the format of before 1.0, which 3.1 dropped

  std::string Error() const;
};

/// libxgboost and, for models in the old binary format, an older one when the first no longer
/// reads it; each loaded when the first model needs it, if a file beside it says its version.
/// Thread-safe.
class Runtime {
 public:
  Runtime(const leadsman_host* host, std::span<const leadsman_option> options);

  const std::string& version() const { return version_; }
  /// Throws Failure, UNAVAILABLE, when it cannot be loaded.
  const Library& Main();
  /// One that reads the old binary format. Throws Failure, UNIMPLEMENTED with advice.
  const Library& ForBinary();

 private:
  std::string file_;
  std::string old_file_;  ///< empty: there is none
  std::string version_;
  std::mutex mutex_;  ///< guards main_ and old_; what they hold does not change once it is there
  std::optional<Library> main_;
  std::optional<Library> old_;
};

}  // namespace leadsman_xgboost
