#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/schema.h"

namespace leadsman {

/// How stores other than the file system are reached and where what they hold is kept; the section
/// `storage` of the configuration. Holds no secret: those come from the environment and from files.
struct StorageOptions {
  struct S3 {
    std::string endpoint;  ///< "http://127.0.0.1:9000"; empty: AWS
    std::string region;    ///< empty: AWS_REGION, the profile, us-east-1
    enum class Addressing { kAuto, kPath, kVirtual };
    Addressing addressing = Addressing::kAuto;
    std::string profile;       ///< of the shared credentials file; empty: AWS_PROFILE, "default"
    std::string sts_endpoint;  ///< empty: AWS
    bool anonymous = false;
  };
  struct Gcs {
    std::string endpoint;          ///< empty: STORAGE_EMULATOR_HOST, Google
    std::string credentials_file;  ///< empty: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, metadata
    bool anonymous = false;
  };
  struct Hdfs {
    std::vector<std::string> endpoints;  ///< of WebHDFS; empty: port 9870 of the URI's host
    std::string user;                    ///< empty: HADOOP_USER_NAME
    std::string token_file;              ///< a delegation token
  };
  struct Http {
    std::string token_file;  ///< sent as "Authorization: Bearer …"; empty: LEADSMAN_HTTP_TOKEN
    std::string netrc_file;  ///< user and password by host; empty: NETRC
  };
  struct Mlflow {
    std::string tracking_uri;  ///< empty: MLFLOW_TRACKING_URI
    std::string token_file;    ///< empty: MLFLOW_TRACKING_TOKEN
  };

  std::string cache_dir;  ///< empty: "cache" in data_dir
  int64_t cache_limit = int64_t{20} << 30;
  int parallel_downloads = 4;
  std::chrono::milliseconds poll_interval{30'000};
  std::chrono::milliseconds list_timeout{30'000};
  std::chrono::milliseconds fetch_timeout{3'600'000};
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds stall_timeout{20'000};
  int retries = 5;
  std::chrono::milliseconds retry_delay{500};
  int64_t max_version_size = int64_t{64} << 30;
  std::string ca_file;
  S3 s3;
  Gcs gcs;
  Hdfs hdfs;
  Http http;
  Mlflow mlflow;
};

/// The table behind the section `storage`.
const schema::Struct<StorageOptions>& StorageOptionsSchema();

/// The value of an environment variable; "" when it is not set. Passed in, so that tests need not
/// change the process.
using Environment = std::function<std::string(const char* name)>;

}  // namespace leadsman
