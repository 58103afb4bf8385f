/** Everything around the screens: theme, data, who is logged in, and which screen an address shows. */
import { createTheme, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider, useIsMutating } from "@tanstack/react-query";
import { Activity, useRef } from "react";
import { api, codeOf } from "../client/api";
import { ME, type Place, placeOf } from "../client/me";
import { noteOwn } from "../client/own";
import { Entrance } from "../features/Entrance";
import { Loaded } from "../ui/parts";
import { type Me, Shell } from "./Shell";

const CLOSES = { defaultProps: { closeButtonProps: { "aria-label": "Close" } } };
/** What is wrong stands above its field: fields in a row stay in line, and no list that opens lies over it. */
const FLAW_FIRST = { defaultProps: { inputWrapperOrder: ["label", "description", "error", "input"] } };
/** A list opens when it is asked for: one that gets the cursor for what is wrong with it hides nothing. */
const SHUT = { defaultProps: { openOnFocus: false } };

const theme = createTheme({
  respectReducedMotion: true,
  defaultRadius: "sm",
  components: { Modal: CLOSES, Drawer: CLOSES, Notification: CLOSES, InputWrapper: FLAW_FIRST, Select: SHUT, MultiSelect: SHUT, TagsInput: SHUT },
});

/** Whether asking again as before brings the same answer. */
function isFinal(error: unknown): boolean {
  const status = (error as { status?: number } | null)?.status ?? 0;
  return status >= 400 && status < 500 && ![408, 429].includes(status);
}

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    // A session that is over shows at once, whatever was asked for when it ended.
    onError: (error, query) => {
      if (codeOf(error) === "login" && query.queryKey[1] !== ME[1]) void queries.invalidateQueries({ queryKey: ME });
    },
  }),
  mutationCache: new MutationCache({ onSuccess: (answer, asked) => noteOwn(answer, asked) }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      refetchOnWindowFocus: true,
      retry: (count, error) => !isFinal(error) && count < 2,
    },
  },
});

export function App() {
  return (
    // The server's policy allows no style elements: every rule stands in a file.
    <MantineProvider theme={theme} defaultColorScheme="dark" withCssVariables={false} withGlobalClasses={false}>
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" />
        <Door />
      </QueryClientProvider>
    </MantineProvider>
  );
}

/**
 * Whoever is put out finds what was typed where it was, as soon as it is the same person who comes in again. While
 * somebody leaves, nothing is shown that would ask for more.
 */
function Door() {
  const { data, error, isPending } = api.useQuery("get", "/api/v1/session", {}, { staleTime: 30_000 });
  const place = useRef<Place>("unknown");
  place.current = placeOf(data, place.current);
  const known = useRef<Me>(undefined);
  const isLeaving = useIsMutating({ mutationKey: ["delete", ME[1]] }) > 0;
  const isOut = place.current === "outside" || place.current === "put out";
  known.current = data ?? (place.current === "outside" ? undefined : known.current);
  const me = known.current;
  return (
    <>
      {isOut && <Entrance last={me?.name} />}
      {place.current === "unknown" && <Loaded query={{ data: undefined, error, isPending }}>{() => null}</Loaded>}
      {me && (
        <Activity mode={place.current === "inside" && !isLeaving ? "visible" : "hidden"}>
          <Shell key={me.name} me={me} />
        </Activity>
      )}
    </>
  );
}
