#include "storage/store_options.h"

#include "base/strings.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

std::string CheckEndpoint(const std::string& url) {
  if (url.empty()) return "";
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    return "must begin with http:// or https://";
  if (RedactUrl(url) != url) return "must hold no user, password or query";
  return url.size() > url.find("://") + 3 ? "" : "must name a host";
}
schema::TypePtr<std::string> Endpoint() {
  return schema::TextWith("http(s)://host:port", CheckEndpoint);
}

const schema::Struct<StorageOptions::S3>& S3Schema() {
  using S3 = StorageOptions::S3;
  static const auto table = [] {
    schema::Struct<S3> s("S3", "s3://bucket/prefix.");
    s.Field("endpoint", &S3::endpoint, Endpoint(),
            "An S3 service other than AWS, like MinIO; empty = AWS_ENDPOINT_URL_S3, AWS.");
    s.Field("region", &S3::region, schema::Text(),
            "Empty = AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1.");
    s.Field("addressing", &S3::addressing,
            schema::Enum<S3::Addressing>({{"auto", S3::Addressing::kAuto},
                                          {"path", S3::Addressing::kPath},
                                          {"virtual", S3::Addressing::kVirtual}}),
            "Where the bucket's name goes: into the path or into the host's name; auto = the path "
            "with an endpoint of one's own.");
    s.Field("profile", &S3::profile, schema::Text(),
            "Profile of the shared credentials file; empty = AWS_PROFILE, default.");
    s.Field("sts_endpoint", &S3::sts_endpoint, Endpoint(),
            "Where a web identity token is exchanged; empty = AWS_ENDPOINT_URL_STS, AWS.");
    s.Field("anonymous", &S3::anonymous, schema::Boolean(), "true: requests are not signed.");
    return s;
  }();
  return table;
}

const schema::Struct<StorageOptions::Gcs>& GcsSchema() {
  using Gcs = StorageOptions::Gcs;
  static const auto table = [] {
    schema::Struct<Gcs> s("Gcs", "gs://bucket/prefix.");
    s.Field("endpoint", &Gcs::endpoint, Endpoint(),
            "A service other than Google's; empty = STORAGE_EMULATOR_HOST, Google.");
    s.Field("credentials_file", &Gcs::credentials_file, schema::Text(),
            "Key of a service account or gcloud's user; empty = GOOGLE_APPLICATION_CREDENTIALS, "
            "gcloud's own, the machine's metadata service.");
    s.Field("anonymous", &Gcs::anonymous, schema::Boolean(), "true: no token is sent.");
    return s;
  }();
  return table;
}

const schema::Struct<StorageOptions::Hdfs>& HdfsSchema() {
  using Hdfs = StorageOptions::Hdfs;
  static const auto table = [] {
    schema::Struct<Hdfs> s("Hdfs", "hdfs://namenode/path, webhdfs://, swebhdfs://.");
    s.Field("endpoints", &Hdfs::endpoints, schema::List(Endpoint(), 0, 16),
            "WebHDFS of the NameNodes, for hdfs://; the active one is found. Empty = port 9870 of "
            "the URI's host.");
    s.Field("user", &Hdfs::user, schema::Text(),
            "The user's name where nobody asks for more; empty = HADOOP_USER_NAME.");
    s.Field("token_file", &Hdfs::token_file, schema::Text(),
            "File with a delegation token, read at every request.");
    return s;
  }();
  return table;
}

const schema::Struct<StorageOptions::Http>& HttpSchema() {
  using Http = StorageOptions::Http;
  static const auto table = [] {
    schema::Struct<Http> s("Http", "http(s)://host/base.");
    s.Field("token_file", &Http::token_file, schema::Text(),
            "File with a bearer token, read at every request and sent to every web server that a "
            "model's path names; empty = LEADSMAN_HTTP_TOKEN.");
    s.Field("netrc_file", &Http::netrc_file, schema::Text(),
            "netrc file with user and password by host; empty = NETRC.");
    return s;
  }();
  return table;
}

const schema::Struct<StorageOptions::Mlflow>& MlflowSchema() {
  using Mlflow = StorageOptions::Mlflow;
  static const auto table = [] {
    schema::Struct<Mlflow> s("Mlflow", "models:/name, models:/name/3, models:/name@alias.");
    s.Field("tracking_uri", &Mlflow::tracking_uri, Endpoint(),
            "The MLflow server; empty = MLFLOW_TRACKING_URI.");
    s.Field("token_file", &Mlflow::token_file, schema::Text(),
            "File with a bearer token, read at every request; empty = MLFLOW_TRACKING_TOKEN, then "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.");
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<StorageOptions>& StorageOptionsSchema() {
  using Options = StorageOptions;
  static const auto table = [] {
    schema::Struct<Options> s("Storage",
                              "Stores other than the file system, and the cache of what was "
                              "fetched from them.");
    s.Field("cache_dir", &Options::cache_dir, schema::Text(),
            "Folder of fetched versions; empty = `cache` in data_dir. Several servers may share "
            "one. Relative to the configuration file.");
    s.Field("cache_limit", &Options::cache_limit, schema::Bytes<int64_t>(1 << 20, int64_t{1} << 50),
            "Beyond it the versions longest unused go; never one that is in memory.");
    s.Field("max_version_size", &Options::max_version_size,
            schema::Bytes<int64_t>(1 << 10, int64_t{1} << 50), "Larger versions are refused.");
    s.Field("parallel_downloads", &Options::parallel_downloads, schema::Integer<int>(1, 64),
            "Files of one version that are fetched at once.");
    s.Field("poll_interval", &Options::poll_interval, schema::Time<milliseconds>(10ms, 24h),
            "How often a store is listed. One that does not answer is listed again after a second, "
            "then ever less often, up to ten times this. File systems: lifecycle.poll_interval.");
    s.Field("list_timeout", &Options::list_timeout, schema::Time<milliseconds>(100ms, 1h),
            "For one listing with all its pages and retries.");
    s.Field("fetch_timeout", &Options::fetch_timeout, schema::Time<milliseconds>(1s, 7 * 24h),
            "For one version.");
    s.Field("connect_timeout", &Options::connect_timeout, schema::Time<milliseconds>(10ms, 10min),
            "For one connection.");
    s.Field("stall_timeout", &Options::stall_timeout, schema::Time<milliseconds>(100ms, 1h),
            "A store that sends nothing for this long is taken for broken.");
    s.Field("retries", &Options::retries, schema::Integer<int>(0, 100),
            "Of a request that failed in a way that may pass (5xx, 429, a broken connection).");
    s.Field("retry_delay", &Options::retry_delay, schema::Time<milliseconds>(1ms, 1min),
            "Before the first retry; doubles each time, with jitter, or as Retry-After says.");
    s.Field("ca_file", &Options::ca_file, schema::Text(),
            "Certificates (PEM) that stores' certificates are checked against; empty = the "
            "system's.");
    s.Nested("s3", &Options::s3, S3Schema(), "Amazon S3 and what speaks like it.");
    s.Nested("gcs", &Options::gcs, GcsSchema(), "Google Cloud Storage.");
    s.Nested("hdfs", &Options::hdfs, HdfsSchema(), "Hadoop, over WebHDFS.");
    s.Nested("http", &Options::http, HttpSchema(), "Web servers.");
    s.Nested("mlflow", &Options::mlflow, MlflowSchema(), "MLflow model registries.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
