/** koffi, which calls functions of C libraries, set up before any library is loaded. */
import koffi from "koffi";

// A call may run on another thread beside this one; a graph needs as much stack there.
koffi.config({ async_stack_size: koffi.config().sync_stack_size! });

export default koffi;
