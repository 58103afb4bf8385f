/** Everything around the screens: theme, data, who is logged in, and which screen an address shows. */
import { createTheme, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { api, codeOf } from "../client/api";
import { noteOwn } from "../client/own";
import { Entrance } from "../features/Entrance";
import { Loaded } from "../ui/parts";
import { Shell } from "./Shell";

const CLOSES = { defaultProps: { closeButtonProps: { "aria-label": "Close" } } };

const theme = createTheme({
  defaultRadius: "sm",
  components: { Modal: CLOSES, Drawer: CLOSES, Notification: CLOSES },
});

const ME = ["get", "/api/v1/session"];

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
      retry: (count, error) => !["login", "role", "confirm"].includes(codeOf(error)) && count < 2,
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

function Door() {
  const me = api.useQuery("get", "/api/v1/session", {}, { staleTime: 30_000 });
  if (me.error && codeOf(me.error) === "login") return <Entrance isOver={me.data !== undefined} />;
  return <Loaded query={me}>{(found) => <Shell me={found} />}</Loaded>;
}
