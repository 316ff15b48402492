import { createRoot } from "react-dom/client";
import { Console } from "./app/Console";
import { startI18n } from "./app/i18n";
import "./app/app.css";
import "./app/content.css";

void startI18n().then((language) => {
  const root = document.getElementById("root");
  if (root) createRoot(root).render(<Console language={language} />);
});
