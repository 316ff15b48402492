import { useMutation, useQueryClient } from "@tanstack/react-query";
import { App } from "antd";
import { problemText } from "../parts/Feedback";

/** A change on the platform: refreshes what it touches, says what went wrong. */
export function useAction<In, Out>(run: (input: In) => Promise<Out>, touches: string[], options: { done?: string; onDone?: (out: Out, input: In) => void; silent?: boolean } = {}) {
  const client = useQueryClient();
  const { message } = App.useApp();
  return useMutation({
    mutationFn: run,
    onSuccess: async (out, input) => {
      if (options.done) void message.success(options.done);
      options.onDone?.(out, input);
      await Promise.all(touches.map((kind) => client.invalidateQueries({ queryKey: [kind] })));
    },
    onError: (error) => {
      if (!options.silent) void message.error(problemText(error), 8);
    },
  });
}
