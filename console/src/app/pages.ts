type Page = () => Promise<{ Component: React.ComponentType }>;

/** Every page behind the login by its address; each is a chunk of its own. */
export const PAGES: Record<string, Page> = {
  "overview": async () => ({ Component: (await import("../pages/overview/Overview")).Overview }),
  "models": async () => ({ Component: (await import("../pages/models/Models")).Models }),
  "models/:name": async () => ({ Component: (await import("../pages/models/Model")).ModelPage }),
  "services": async () => ({ Component: (await import("../pages/services/Services")).Services }),
  "services/new": async () => ({ Component: (await import("../pages/services/Publish")).Publish }),
  "services/:name/edit": async () => ({ Component: (await import("../pages/services/Publish")).Publish }),
  "services/:name": async () => ({ Component: (await import("../pages/services/Service")).ServicePage }),
  "playground": async () => ({ Component: (await import("../pages/playground/Playground")).Playground }),
  "platform/nodes": async () => ({ Component: (await import("../pages/platform/Nodes")).Nodes }),
  "platform/nodes/:id": async () => ({ Component: (await import("../pages/platform/Node")).NodePage }),
  "platform/gateway": async () => ({ Component: (await import("../pages/platform/Gateway")).Gateway }),
  "platform/engines": async () => ({ Component: (await import("../pages/platform/Engines")).Engines }),
  "platform/routes": async () => ({ Component: (await import("../pages/platform/Routes")).Routes }),
  "platform/providers": async () => ({ Component: (await import("../pages/platform/Providers")).Providers }),
  "platform/users": async () => ({ Component: (await import("../pages/platform/Users")).Users }),
  "platform/users/:name": async () => ({ Component: (await import("../pages/platform/User")).UserPage }),
  "platform/projects": async () => ({ Component: (await import("../pages/platform/Projects")).Projects }),
  "platform/projects/:name": async () => ({ Component: (await import("../pages/platform/Project")).ProjectPage }),
  "platform/keys": async () => ({ Component: (await import("../pages/platform/Keys")).Keys }),
  "platform/prices": async () => ({ Component: (await import("../pages/platform/Prices")).Prices }),
  "platform/usage": async () => ({ Component: (await import("../pages/platform/Usage")).Usage }),
  "platform/batches": async () => ({ Component: (await import("../pages/platform/Batches")).Batches }),
  "platform/audit": async () => ({ Component: (await import("../pages/platform/Audit")).Audit }),
  "platform/jobs": async () => ({ Component: (await import("../pages/platform/Jobs")).Jobs }),
};
