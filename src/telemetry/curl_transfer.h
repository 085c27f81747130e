#pragma once

#include <curl/curl.h>

#include <atomic>
#include <memory>

namespace leadsman {

// For the .cc files of this room that speak by libcurl.

struct CurlCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using CurlHandle = std::unique_ptr<CURL, CurlCleanup>;

struct CurlListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlList = std::unique_ptr<curl_slist, CurlListCleanup>;

/// False when there is no memory for it.
bool AppendTo(CurlList& list, const char* line);

/// Before anything else, by anybody who wants to speak.
void InitCurl();

/// Runs one transfer, and ends it within a tenth of a second once `cancelled` is true. The result of libcurl.
CURLcode PerformCurl(CURL* easy, const std::atomic<bool>& cancelled);

}  // namespace leadsman
