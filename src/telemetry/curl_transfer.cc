#include "telemetry/curl_transfer.h"

#include <mutex>
#include <tuple>

#include "base/check.h"

namespace leadsman {
namespace {

constexpr int kLookMs = 100;

}  // namespace

bool AppendTo(CurlList& list, const char* line) {
  curl_slist* more = curl_slist_append(list.get(), line);
  if (more == nullptr) return false;
  std::ignore = list.release();
  list.reset(more);
  return true;
}

void InitCurl() {
  static std::once_flag once;
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
}

CURLcode PerformCurl(CURL* easy, const std::atomic<bool>& cancelled) {
  CURLM* multi = curl_multi_init();
  if (multi == nullptr || curl_multi_add_handle(multi, easy) != CURLM_OK) {
    curl_multi_cleanup(multi);
    return CURLE_FAILED_INIT;
  }
  int running = 1;
  while (curl_multi_perform(multi, &running) == CURLM_OK && running > 0 && !cancelled)
    curl_multi_poll(multi, nullptr, 0, kLookMs, nullptr);
  CURLcode code = CURLE_ABORTED_BY_CALLBACK;
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  }
  curl_multi_remove_handle(multi, easy);
  curl_multi_cleanup(multi);
  return code;
}

}  // namespace leadsman
