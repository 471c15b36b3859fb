// What the scheduler knows of a request: whose it is, how urgent, what it holds and how much work it is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "scheduler/resources.h"

namespace qvl::scheduling {

using RequestId = uint64_t;
using ClientId = uint64_t;

/// How urgent a request is, the most urgent first.
enum class RequestClass : uint8_t { interactive, normal, background };
constexpr size_t kRequestClasses = 3;

/// Units of work, done in this order.
struct Work {
  uint32_t prepare_units = 0;  ///< reading, decoding, resizing, tokenising; done outside of steps
  uint32_t vision_steps = 0;   ///< blocks of the vision tower, all pictures together
  uint32_t most_vision_steps = UINT32_MAX;  ///< of them in a step, >= 1: of large pictures fewer fit its time
  uint32_t prompt_tokens = 0;  ///< to be computed, without those that a cache holds; at least the last one is
  uint32_t answer_tokens = 0;  ///< at most; the first one comes with the last chunk of the prompt
};

struct Request {
  RequestId id = 0;
  ClientId client = 0;
  RequestClass request_class = RequestClass::normal;
  Amounts holds{};  ///< from the grant to the end
  Work work{};      ///< an estimate until the request is prepared
  /// When its time is up, on any clock that all requests share; nothing: never.
  std::optional<int64_t> due_us{};
};

/// What requests compete for.
enum class Slot : uint8_t {
  prepare,  ///< to be read and preprocessed next
  grant,    ///< to get what it holds next
  compute,  ///< the vision steps or the chunk of a prompt of this step; one request each step
  decode,   ///< a place in this step's batch of decoders
};
constexpr size_t kSlots = 4;

/// A request on its way through the scheduler.
struct Job {
  enum class Phase : uint8_t {
    arrived,    ///< to be prepared
    preparing,  ///< somebody prepares it
    prepared,   ///< waits for what it will hold
    granted,    ///< holds it, and takes part in steps
  };
  Request request;
  Work left;
  Phase phase = Phase::arrived;
  uint64_t order = 0;     ///< of arrival: no two jobs have the same
  uint32_t bypassed = 0;  ///< grants to requests behind it in the policy's order, while it did not fit
  /// Slots of each kind that went to an earlier deadline, since it had one though it was not the earliest.
  std::array<uint32_t, kSlots> overtaken{};
  ResourceHold hold{};

  bool wants_compute() const { return left.vision_steps > 0 || left.prompt_tokens > 0; }
};

/// How busy the machine is, all programs together, over the last second or so; 0 to 1000 each.
struct Load {
  int compute_permille = 0;    ///< of the processors' time
  int bandwidth_permille = 0;  ///< of what the memory can deliver
  int io_permille = 0;         ///< of the time disks or network could work
};

}  // namespace qvl::scheduling
